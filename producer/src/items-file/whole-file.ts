// Writes a file completely or not at all. The file has a temporary name until all data is on the disk.
import { randomUUID } from 'node:crypto'
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { CODE, Stopped } from './exit-codes.ts'

/**
 * Calls `work` with a function that appends text. If `work` throws, no new file is left.
 * @throws Stopped when the file exists and may not be replaced, or cannot be written
 */
export async function writeWhole(
  path: string,
  isOverwriting: boolean,
  work: (write: (text: string) => Promise<void>) => Promise<void>,
): Promise<void> {
  await mustBeFree()
  const temporary = join(dirname(path), `.${basename(path)}.${randomUUID()}.part`)
  const file = await opened(temporary)
  try {
    await work(async (text) => await file.appendFile(text))
    await file.sync()
    await file.close()
    await mustBeFree()
    await rename(temporary, path)
  } catch (error) {
    await file.close().catch(() => {})
    await rm(temporary, { force: true })
    throw error
  }

  async function mustBeFree(): Promise<void> {
    const found = await stat(path).catch(() => undefined)
    if (found?.isDirectory()) throw new Stopped(CODE.usage, `${path} is a directory`)
    if (found !== undefined && !isOverwriting) throw new Stopped(CODE.usage, `${path} exists: --overwrite replaces it`)
  }
}

async function opened(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'wx', 0o600)
  } catch (error) {
    throw new Stopped(CODE.cannotWrite, `${path} cannot be written: ${error instanceof Error ? error.message : error}`)
  }
}
