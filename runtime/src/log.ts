// The logger: pino with secrets redacted. It writes JSON lines or readable text.
import { type DestinationStream, type Logger, pino } from 'pino'
import { prettyFactory } from 'pino-pretty'
import { z } from 'zod'
import { type LogOutput, standardOutput } from './log-output.ts'
import { escapeUnsafe, printable, redactFields, redactUrls } from './redaction.ts'

export const logEnvironment = z
  .object({
    LOG_LEVEL: z
      .enum(['debug', 'info', 'warn', 'error'])
      .default('info')
      .describe('lowest level that is logged: debug, info, warn or error'),
    LOG_FORMAT: z
      .enum(['auto', 'json', 'pretty'])
      .default('auto')
      .describe('json, or pretty (readable text); auto: pretty on a terminal, else json'),
  })
  .transform((v) => ({ level: v.LOG_LEVEL, format: v.LOG_FORMAT }))
type LogConfig = z.output<typeof logEnvironment>

/**
 * A logger that writes to standard output, or to `destination`. It drops lines that standard output does not accept. When
 * standard output accepts lines again, it logs how many were lost. It never blocks or throws.
 */
export function createLog(name: string, { level, format }: LogConfig, destination?: DestinationStream): Logger {
  const readable = format === 'pretty' || (format === 'auto' && process.stdout.isTTY === true)
  const options = {
    level,
    base: { service: name },
    timestamp,
    formatters: { level: (label: string) => ({ level: label }), log: redactFields },
    // redactFields has serialised errors already. pino's own serializer would treat the result as an error of class Object.
    serializers: { err: (written: unknown) => written },
    hooks: { streamWrite: (line: string) => escapeUnsafe(redactUrls(line)) },
    messageKey: 'message',
  }
  const output = destination ?? standardOutput()
  const log = pino(options, readable ? legible(output) : output)
  if (destination === undefined) reportLosses(log, standardOutput())
  return log
}

let last = { ms: Number.NaN, text: '' }

/** The member `time`. It is formatted once per millisecond, because formatting a date takes half as long as the rest of a line. */
function timestamp(): string {
  const ms = Date.now()
  if (ms !== last.ms) last = { ms, text: `,"time":"${new Date(ms).toISOString()}"` }
  return last.text
}

function reportLosses(log: Logger, output: LogOutput): void {
  output.onLoss({
    resumed: (lines, error) =>
      log.warn({ lines, error }, `${lines} log lines were lost: standard output did not accept them`),
  })
}

/** Formats each line as readable text. pino-pretty decodes JSON, so control characters are escaped here, and not before. */
function legible(output: DestinationStream): DestinationStream {
  const format = prettyFactory({
    messageKey: 'message',
    messageFormat: ({ message }) => printable(String(message ?? '')),
    ignore: 'service',
    translateTime: 'HH:MM:ss.l',
  })
  return { write: (line) => output.write(escapeUnsafe(format(line))) }
}
