// The imported file, or the standard input.
import { open } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { CODE, Stopped } from './exit-codes.ts'

export interface Source {
  readonly chunks: AsyncIterable<Buffer>
  /** The size of the file and the bytes read so far. Undefined for a pipe. */
  readonly bytes: { readonly total: number; read(): number } | undefined
  close(): void
}

/**
 * Opens the file. `-` is the standard input.
 * @throws Stopped when the file cannot be read
 */
export async function openSource(file: string, input: () => Readable): Promise<Source> {
  if (file === '-') return sourceOf(input(), undefined)
  try {
    const handle = await open(file)
    const stat = await handle.stat()
    if (stat.isDirectory()) {
      await handle.close()
      throw new Stopped(CODE.usage, `${file} is a directory`)
    }
    const stream = handle.createReadStream()
    return sourceOf(stream, stat.isFile() ? { total: stat.size, read: () => stream.bytesRead } : undefined)
  } catch (error) {
    if (error instanceof Stopped) throw error
    throw new Stopped(CODE.usage, `${file} cannot be read: ${error instanceof Error ? error.message : error}`)
  }
}

function sourceOf(stream: Readable, bytes: Source['bytes']): Source {
  return { chunks: stream, bytes, close: () => void stream.destroy() }
}
