// Converts the bytes of a file to UTF-8. A byte order mark (UTF-8, UTF-16) or an option names the encoding.
import { CODE, Stopped } from './exit-codes.ts'

const MARKS = [
  { bytes: Buffer.from([0xef, 0xbb, 0xbf]), encoding: 'utf-8' },
  { bytes: Buffer.from([0xff, 0xfe]), encoding: 'utf-16le' },
  { bytes: Buffer.from([0xfe, 0xff]), encoding: 'utf-16be' },
] as const
const MARK_MAX_BYTES = 3

export interface Utf8 {
  /** Excel recognises UTF-8 only by a byte order mark, so the file of rejected rows gets one if the imported file has one. */
  readonly hasMark: boolean
  /** UTF-8 without a byte order mark. The bytes of a UTF-8 file are not checked. */
  readonly chunks: AsyncIterable<Buffer>
}

/** A byte order mark takes precedence over `encoding`. */
export async function utf8Of(source: AsyncIterable<Buffer>, encoding = 'utf-8'): Promise<Utf8> {
  const chunks = source[Symbol.asyncIterator]()
  let first = Buffer.alloc(0)
  while (first.length < MARK_MAX_BYTES) {
    const { done, value } = await chunks.next()
    if (done) break
    first = Buffer.concat([first, value])
  }
  const mark = MARKS.find(({ bytes }) => first.subarray(0, bytes.length).equals(bytes))
  const rest = afterwards(first.subarray(mark?.bytes.length ?? 0), chunks)
  const used = mark?.encoding ?? encoding
  return { hasMark: mark !== undefined, chunks: used === 'utf-8' ? rest : decoded(rest, used) }
}

/** Yields `first`, then `rest`. Closes the source if the reader stops early. */
export async function* afterwards(first: Buffer, rest: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  try {
    if (first.length > 0) yield first
    for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value
  } finally {
    await rest.return?.()
  }
}

async function* decoded(chunks: AsyncIterable<Buffer>, encoding: string): AsyncGenerator<Buffer> {
  const decoder = new TextDecoder(encoding, { fatal: true, ignoreBOM: true })
  try {
    for await (const chunk of chunks) yield Buffer.from(decoder.decode(chunk, { stream: true }))
    yield Buffer.from(decoder.decode())
  } catch (error) {
    if (error instanceof TypeError) throw new Stopped(CODE.usage, `the file is not valid ${encoding}`)
    throw error
  }
}
