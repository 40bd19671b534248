// The command lines of `npm run faults`, `npm run soak` and `npm run on-call`: options, progress lines and interruption.
import { parseArgs } from 'node:util'
import type { z } from 'zod'

/**
 * Parses options of the form `--name value`, and `--name` for each of `flags`. Returns the parsed options, or a sentence that
 * says why they are not valid.
 */
export function parseOptions<Shape extends z.ZodRawShape>(
  args: string[],
  schema: z.ZodObject<Shape>,
  flags: readonly string[] = [],
): z.output<z.ZodObject<Shape>> | string {
  const typeOf = (name: string) => ({ type: flags.includes(name) ? ('boolean' as const) : ('string' as const) })
  const options = Object.fromEntries(Object.keys(schema.shape).map((name) => [name, typeOf(name)]))
  try {
    const parsed = schema.safeParse(parseArgs({ args, options }).values)
    if (parsed.success) return parsed.data
    return parsed.error.issues.map(({ path, message }) => `--${path.join('.')}: ${message}`).join('; ')
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

/** Returns a signal that aborts on SIGINT, SIGTERM or SIGHUP, so that the run stops its servers and services. */
export function interruptedBySignals(): AbortSignal {
  const controller = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => {
      if (!controller.signal.aborted) say('… interrupted: stopping')
      controller.abort(new Error('interrupted'))
    })
  return controller.signal
}

/** Prints a line to standard error. Standard output has only the result. */
export function say(line: string): void {
  process.stderr.write(`${line}\n`)
}
