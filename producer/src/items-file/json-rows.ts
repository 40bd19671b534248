// Reads rows from a JSON array, element by element.
import { JSONParser } from '@streamparser/json'
import { CODE, Stopped } from './exit-codes.ts'
import { COLUMNS, ROW_MAX_BYTES, type Row, type RowReader } from './row.ts'

/** The parser gets pieces of this size, so that an element without an end is detected early. */
const PIECE_BYTES = 16_384

/** `line` of a row is the number of the element, from 1. */
export function jsonRows(chunks: AsyncIterable<Buffer>): RowReader {
  return { header: COLUMNS, delimiter: ',', rows: rowsIn(chunks) }
}

async function* rowsIn(chunks: AsyncIterable<Buffer>): AsyncGenerator<Row> {
  const found: unknown[] = []
  const parser = new JSONParser({ paths: ['$.*'], keepStack: false })
  parser.onValue = ({ value, parent }) => {
    if (Array.isArray(parent)) found.push(value)
  }
  let isBegun = false
  let isEnded = false
  parser.onEnd = () => {
    isEnded = true
  }
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let line = 0
  let pendingBytes = 0
  for await (const chunk of chunks)
    for (let at = 0; at < chunk.length; at += PIECE_BYTES) {
      const piece = chunk.subarray(at, at + PIECE_BYTES)
      write(piece)
      pendingBytes = found.length > 0 ? 0 : pendingBytes + piece.length
      if (pendingBytes > ROW_MAX_BYTES)
        throw new Stopped(CODE.usage, `element ${line + 1} has more than ${ROW_MAX_BYTES} bytes`)
      for (const value of found.splice(0)) {
        line += 1
        yield rowOf(line, value)
      }
    }
  if (!isEnded) throw new Stopped(CODE.usage, `the JSON ends after element ${line}, before the end of the array`)

  function write(piece: Buffer): void {
    const [first] = isBegun ? [] : (/[^\t\n\r ]/.exec(piece.toString('latin1')) ?? [])
    if (first !== undefined && first !== '[') throw new Stopped(CODE.usage, 'the file is not a JSON array of items')
    isBegun ||= first !== undefined
    // White space may follow the array.
    if (isEnded && /^[\t\n\r ]*$/.test(piece.toString('latin1'))) return
    try {
      decoder.decode(piece, { stream: true })
      parser.write(piece)
    } catch (error) {
      if (error instanceof Stopped) throw error
      const why = error instanceof Error ? error.message : String(error)
      throw new Stopped(CODE.usage, `the file is not valid JSON after element ${line + found.length}: ${why}`)
    }
  }
}

/** The row for a value. Its cells are the members of the value that belong to an item. */
export function rowOf(line: number, value: unknown): Row {
  const members: Record<string, unknown> = typeof value === 'object' && value !== null ? { ...value } : {}
  return { line, read: { value }, cells: COLUMNS.map((column) => cellOf(members[column])) }
}

function cellOf(value: unknown): string {
  if (value === undefined || value === null) return ''
  return typeof value === 'string' ? value : JSON.stringify(value)
}
