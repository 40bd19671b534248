// Reads rows from a CSV file. Detects the delimiter from the header line, and checks each cell for valid UTF-8.
import { isUtf8 } from 'node:buffer'
import { CsvError, parse } from 'csv-parse'
import { parse as parseWhole } from 'csv-parse/sync'
import { z } from 'zod'
import { CODE, Stopped } from './exit-codes.ts'
import { unguarded } from './formula.ts'
import { COLUMNS, ROW_MAX_BYTES, type Row, type RowReader } from './row.ts'
import { afterwards } from './text-of.ts'

export const DELIMITERS = [',', ';', '\t'] as const
/** The parser gets pieces of this size, so that a row without an end is detected early. */
const PIECE_BYTES = 16_384
const DECIMAL_COMMA = /^\s*\d+,\d+\s*$/
const NUMBERS: readonly string[] = ['price', 'quantity']
const [CARRIAGE_RETURN, LINE_FEED] = Buffer.from('\r\n')
/** One character per byte, so that invalid UTF-8 is not lost before it is checked. */
const ENCODING = 'latin1' as const
const emitted = z.object({ record: z.array(z.string()), raw: z.string() })

/** The additional columns of a file of rejected rows. */
export const REJECTION_COLUMNS = ['line', 'reason'] as const

/**
 * Reads the header. The rows are read later, through the returned reader.
 * @throws Stopped when there is no header, or when a column is missing or named twice
 */
export async function csvRows(
  chunks: AsyncIterable<Buffer>,
  warn: (line: string) => void = () => {},
): Promise<RowReader> {
  const { delimiter, firstLine, rest } = await dialectOf(chunks)
  const records = recordsIn(rest, delimiter, firstLine)
  const first = await records.next()
  if (first.done)
    throw new Stopped(CODE.usage, `the file is empty: its first line must name the columns ${COLUMNS.join(', ')}`)
  const header = first.value.cells.map(({ text }) => text)
  const columns = columnsOf(header, warn)
  const hasDecimalComma = delimiter !== ','
  return { header, delimiter, rows: rows() }

  async function* rows(): AsyncGenerator<Row> {
    for await (const { line, cells, isMalformed } of records) {
      if (cells.length === 1 && cells[0]?.text === '') continue
      const texts = cells.map(({ text }) => text)
      const problem = isMalformed
        ? 'a quote inside a quoted cell is not doubled, or a quoted cell is not closed'
        : problemOf(cells, header.length)
      const value = Object.fromEntries(columns.map(({ name, at }) => [name, cellOf(name, texts[at] ?? '')]))
      yield { line, read: problem === undefined ? { value } : { problem }, cells: texts }
    }
  }

  function cellOf(name: string, text: string): string {
    return hasDecimalComma && NUMBERS.includes(name) && DECIMAL_COMMA.test(text) ? text.replace(',', '.') : text
  }
}

interface Cell {
  readonly text: string
  readonly isValid: boolean
}

/** Excel writes empty cells after the last column, so they are accepted. */
function problemOf(cells: readonly Cell[], expected: number): string | undefined {
  if (!cells.every(({ isValid }) => isValid)) return 'the row is not valid UTF-8: see --encoding'
  const isTooLong = cells.slice(expected).some(({ text }) => text !== '')
  if (cells.length < expected || isTooLong) return `the row has ${cells.length} cells, the header ${expected}`
  return undefined
}

function columnsOf(header: readonly string[], warn: (line: string) => void) {
  const names = header.map((name) => name.trim().toLowerCase())
  const missing = COLUMNS.filter((column) => !names.includes(column))
  if (missing.length > 0)
    throw new Stopped(CODE.usage, `the first line of the file must name the columns: ${missing.join(', ')} not found`)
  const twice = COLUMNS.filter((column) => names.indexOf(column) !== names.lastIndexOf(column))
  if (twice.length > 0) throw new Stopped(CODE.usage, `the first line names a column twice: ${twice.join(', ')}`)
  const known: readonly string[] = [...COLUMNS, ...REJECTION_COLUMNS, '']
  const ignored = header.filter((_, at) => !known.includes(names[at] ?? ''))
  if (ignored.length > 0) warn(`columns that are not imported: ${ignored.join(', ')}`)
  return COLUMNS.map((name) => ({ name, at: names.indexOf(name) }))
}

/** Finds the delimiter: in the line `sep=;`, which Excel understands, or else in the header line. */
async function dialectOf(chunks: AsyncIterable<Buffer>) {
  const source = chunks[Symbol.asyncIterator]()
  let head = Buffer.alloc(0)
  let firstLine = 1
  let declared: string | undefined
  for (;;) {
    const end = lineEnd(head)
    if (end === undefined && head.length <= ROW_MAX_BYTES) {
      const { done, value } = await source.next()
      if (!done) {
        head = Buffer.concat([head, value])
        continue
      }
    }
    if (end === undefined && head.length > ROW_MAX_BYTES) {
      await source.return?.()
      throw new Stopped(CODE.usage, `the first line of the file has more than ${ROW_MAX_BYTES} bytes`)
    }
    const line = head.toString('utf8', 0, end?.at)
    const separator = firstLine === 1 ? /^"?sep=([\t -~])"?$/i.exec(line)?.[1] : undefined
    if (separator === undefined)
      return { delimiter: declared ?? mostFrequent(line), firstLine, rest: afterwards(head, source) }
    declared = separator
    firstLine = 2
    head = head.subarray(end?.next ?? head.length)
  }
}

/**
 * Where the first line ends, and where the next one starts. Undefined if the first line is not complete: a carriage return
 * at the end of `bytes` may be half of a line end.
 */
function lineEnd(bytes: Buffer): { readonly at: number; readonly next: number } | undefined {
  const at = bytes.findIndex((byte) => byte === CARRIAGE_RETURN || byte === LINE_FEED)
  if (at < 0 || (bytes[at] === CARRIAGE_RETURN && at + 1 === bytes.length)) return undefined
  const isPair = bytes[at] === CARRIAGE_RETURN && bytes[at + 1] === LINE_FEED
  return { at, next: at + (isPair ? 2 : 1) }
}

/** The delimiter that occurs most often outside quotes. */
function mostFrequent(line: string): string {
  const outside = line.replaceAll(/"[^"]*"/g, '')
  const counts = DELIMITERS.map((delimiter) => outside.split(delimiter).length)
  return DELIMITERS[counts.indexOf(Math.max(...counts))] ?? ','
}

async function* recordsIn(chunks: AsyncIterable<Buffer>, delimiter: string, firstLine: number) {
  const options = {
    delimiter,
    encoding: ENCODING,
    raw: true,
    record_delimiter: ['\r\n', '\n', '\r'],
    relax_column_count: true,
    // A quote in an unquoted cell is text. Cells that begin with a quote are checked below, because a malformed cell could
    // include the cells after it.
    relax_quotes: true,
  }
  const parser = parse(options)
  let failure: Error | undefined
  parser.once('error', (error) => {
    failure = error
  })
  let line = firstLine
  let pendingBytes = 0
  try {
    for await (const chunk of chunks)
      for (let at = 0; at < chunk.length; at += PIECE_BYTES) {
        const piece = chunk.subarray(at, at + PIECE_BYTES)
        const taken = new Promise<void>((resolve) => void parser.write(piece, () => resolve()))
        pendingBytes += piece.length
        yield* parsed()
        await taken
        if (failure !== undefined) throw failure
        if (pendingBytes > ROW_MAX_BYTES + PIECE_BYTES) throw new RecordTooLong()
      }
    await new Promise<void>((resolve) => {
      parser.once('error', () => resolve())
      parser.end(() => resolve())
    })
    yield* parsed()
    if (failure !== undefined) throw failure
  } catch (error) {
    if (!(error instanceof CsvError || error instanceof RecordTooLong)) throw error
    const why =
      error instanceof RecordTooLong
        ? `the row has more than ${ROW_MAX_BYTES} bytes. Is a quote not closed?`
        : 'a quoted cell is not closed.'
    throw new Stopped(CODE.usage, `line ${line}: ${why} Nothing from this line on was read`)
  } finally {
    parser.destroy()
  }

  /** The parser parses during the write, so its rows are available here. */
  function* parsed() {
    for (let each: unknown = parser.read(); each !== null; each = parser.read()) {
      pendingBytes = 0
      const { record, raw } = emitted.parse(each)
      const isMalformed = record.some((text) => text.startsWith('"')) && !isWellFormed(raw, delimiter)
      const cells = record.map(cellIn)
      yield { line, cells, isMalformed }
      line += linesIn(raw)
    }
  }
}

function cellIn(characters: string): Cell {
  const bytes = Buffer.from(characters, ENCODING)
  return { text: unguarded(bytes.toString()), isValid: isUtf8(bytes) }
}

class RecordTooLong extends Error {}

/** Whether the quotes of a record are valid. A cell that begins with a quote is either malformed, or text in quotes, written as """text""". */
function isWellFormed(raw: string, delimiter: string): boolean {
  try {
    parseWhole(raw, { delimiter, record_delimiter: ['\r\n', '\n', '\r'], relax_column_count: true })
    return true
  } catch {
    return false
  }
}

/** The number of line ends in a record. The parser keeps only the first byte of the last line end. */
const linesIn = (raw: string): number => raw.match(/\r\n|\r|\n/g)?.length ?? 0
