// Reads rows from lines of JSON.
import { isUtf8 } from 'node:buffer'
import { rowOf } from './json-rows.ts'
import { COLUMNS, ROW_MAX_BYTES, type Row, type RowReader } from './row.ts'

const LINE_FEED = 0x0a

export function ndjsonRows(chunks: AsyncIterable<Buffer>): RowReader {
  return { header: COLUMNS, delimiter: ',', rows: rowsIn(chunks) }
}

async function* rowsIn(chunks: AsyncIterable<Buffer>): AsyncGenerator<Row> {
  let number = 0
  for await (const line of linesIn(chunks)) {
    number += 1
    if (line === undefined) yield unread(number, `the line has more than ${ROW_MAX_BYTES} bytes`)
    else if (!isUtf8(line)) yield unread(number, 'the line is not valid UTF-8')
    else {
      const text = line.toString().trim()
      if (text !== '') yield parsed(number, text)
    }
  }
}

function parsed(line: number, text: string): Row {
  try {
    return rowOf(line, JSON.parse(text))
  } catch (error) {
    return unread(line, `the line is not valid JSON: ${error instanceof Error ? error.message : error}`)
  }
}

const unread = (line: number, problem: string): Row => ({ line, read: { problem }, cells: [] })

/** Each line, without its end. Undefined for a line that is too long, which is not kept in memory. */
async function* linesIn(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer | undefined> {
  let pending: Buffer[] = []
  let pendingBytes = 0
  const take = (piece: Buffer) => {
    pendingBytes += piece.length
    if (pendingBytes <= ROW_MAX_BYTES) pending.push(piece)
    else pending = []
  }
  const line = () => {
    const whole = pendingBytes <= ROW_MAX_BYTES ? Buffer.concat(pending) : undefined
    pending = []
    pendingBytes = 0
    return whole
  }
  for await (const chunk of chunks) {
    let from = 0
    for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, from)) {
      take(chunk.subarray(from, end))
      yield line()
      from = end + 1
    }
    take(chunk.subarray(from))
  }
  if (pendingBytes > 0) yield line()
}
