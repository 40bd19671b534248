// Parses the command lines of `import` and `export`. An error is one sentence that names the argument.
import { extname } from 'node:path'
import { parseArgs } from 'node:util'
import { CODE, Stopped } from './exit-codes.ts'

const FORMATS = ['csv', 'json', 'ndjson'] as const
export type Format = (typeof FORMATS)[number]

const CODES = `Exit codes: 0 all done · 1 some rows were rejected · 2 wrong arguments, or not a file of items ·
3 the outcome of some rows is unknown · 69 the API does not respond · 70 a bug · 73 a file cannot be written ·
78 wrong configuration or API key · 130 interrupted`

export const IMPORT_USAGE = `usage: npm run import -- <file.csv|file.json|file.ndjson|-> [options]
  -                    reads the standard input; needs --format
  --format FORMAT      csv, json (an array) or ndjson (one object per line); by default from the file name
  --encoding NAME      encoding of a file without byte order mark, for example windows-1252; by default utf-8
  --dry-run            checks all rows and sends nothing
  --rejected FILE      writes rejected rows to FILE (-: the standard output); by default <file>.rejected.csv
  --run NAME           sends the rows as new commands, for items that were imported before and deleted since
  --concurrency N      maximum number of rows in flight, 1 to 256; by default 64
  --give-up-after S    stops after S seconds without progress; by default 120
API_URL is the URL of the API, API_KEY or API_KEY_FILE the key for it.
${CODES}`

export const EXPORT_USAGE = `usage: npm run --silent export -- [options]
  --format FORMAT      csv, json or ndjson; by default from the name of the output file, or csv
  --output FILE        writes to FILE; by default to the standard output
  --overwrite          replaces FILE if it exists
  --give-up-after S    stops after S seconds without progress; by default 120
API_URL is the URL of the API, API_KEY or API_KEY_FILE the key for it.
${CODES}`

const CONCURRENCY = { fallback: 64, max: 256 }
const GIVE_UP_AFTER_S = { fallback: 120, max: 86_400 }

export interface ImportRequest {
  /** `-` is the standard input. */
  readonly file: string
  readonly format: Format
  readonly encoding: string | undefined
  readonly isDryRun: boolean
  /** `-` is the standard output. If undefined, a file beside the imported one. */
  readonly rejected: string | undefined
  readonly run: string
  readonly concurrency: number
  readonly giveUpAfterMs: number
}

export interface ExportRequest {
  readonly format: Format
  readonly output: string | undefined
  readonly isOverwriting: boolean
  readonly giveUpAfterMs: number
}

/**
 * Parses the command line of `import`. Returns undefined for `--help`.
 * @throws Stopped when an argument is wrong
 */
export function parseImportArguments(args: readonly string[]): ImportRequest | undefined {
  const options = {
    help: { type: 'boolean' },
    format: { type: 'string' },
    encoding: { type: 'string' },
    'dry-run': { type: 'boolean' },
    rejected: { type: 'string' },
    run: { type: 'string' },
    concurrency: { type: 'string' },
    'give-up-after': { type: 'string' },
  } as const
  const { values, positionals } = orUsage(() => parseArgs({ args: [...args], options, allowPositionals: true }))
  if (values.help) return undefined
  const [file] = positionals
  if (file === undefined || positionals.length !== 1) throw usage(`one file is needed, not ${positionals.length}`)
  const format = formatOf(values.format, file)
  if (format === undefined)
    throw usage(
      `--format is needed: ${file === '-' ? 'the standard input' : 'the file name'} does not show whether it is csv, json or ndjson`,
    )
  return {
    file,
    format,
    encoding: encodingOf(values.encoding),
    isDryRun: values['dry-run'] === true,
    rejected: values.rejected,
    run: values.run ?? '',
    concurrency: whole('--concurrency', values.concurrency, CONCURRENCY),
    giveUpAfterMs: whole('--give-up-after', values['give-up-after'], GIVE_UP_AFTER_S) * 1_000,
  }
}

/**
 * Parses the command line of `export`. Returns undefined for `--help`.
 * @throws Stopped when an argument is wrong
 */
export function parseExportArguments(args: readonly string[]): ExportRequest | undefined {
  const options = {
    help: { type: 'boolean' },
    format: { type: 'string' },
    output: { type: 'string' },
    overwrite: { type: 'boolean' },
    'give-up-after': { type: 'string' },
  } as const
  const { values } = orUsage(() => parseArgs({ args: [...args], options }))
  if (values.help) return undefined
  const output = values.output === '-' ? undefined : values.output
  return {
    format: formatOf(values.format, output ?? '') ?? 'csv',
    output,
    isOverwriting: values.overwrite === true,
    giveUpAfterMs: whole('--give-up-after', values['give-up-after'], GIVE_UP_AFTER_S) * 1_000,
  }
}

const usage = (problem: string) => new Stopped(CODE.usage, `${problem}; --help lists the options`)

function orUsage<T>(parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    throw usage(error instanceof Error ? error.message : String(error))
  }
}

function formatOf(option: string | undefined, file: string): Format | undefined {
  const name = option ?? extname(file).slice(1).toLowerCase()
  const format = FORMATS.find((each) => each === name)
  if (option !== undefined && format === undefined) throw usage(`--format must be csv, json or ndjson, not "${option}"`)
  return format
}

function encodingOf(name: string | undefined): string | undefined {
  if (name === undefined) return undefined
  try {
    return new TextDecoder(name).encoding
  } catch {
    throw usage(`--encoding: there is no encoding "${name}"`)
  }
}

function whole(name: string, text: string | undefined, { fallback, max }: { fallback: number; max: number }): number {
  if (text === undefined) return fallback
  const value = Number(text)
  if (!/^\d{1,9}$/.test(text) || value < 1 || value > max)
    throw usage(`${name} must be a whole number from 1 to ${max}, not "${text}"`)
  return value
}
