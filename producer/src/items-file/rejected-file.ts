// The file of rejected rows: the columns of the imported file, then the line and the reason. After correction, the file can be imported.
import { access, constants, type FileHandle, open } from 'node:fs/promises'
import { dirname, extname } from 'node:path'
import { stringify } from 'csv-stringify/sync'
import { DELIMITERS, REJECTION_COLUMNS } from './csv-rows.ts'
import { CODE, Stopped } from './exit-codes.ts'
import { guarded } from './formula.ts'
import type { Row, RowReader } from './row.ts'

const BYTE_ORDER_MARK = '\ufeff'
const NAMES_MAX = 1_000

export interface RejectedFile {
  add(row: Row, reason: string): Promise<void>
  /** Its path. Undefined when no row was rejected, or when it is the standard output. */
  readonly path: string | undefined
  close(): Promise<void>
}

interface Target {
  /** The wanted path. `-` is the standard output. */
  readonly wanted: string
  readonly hasMark: boolean
  out(text: string): Promise<void>
}

/** The default path, beside the imported file. */
export const rejectedPath = (file: string): string =>
  `${file === '-' ? 'items' : file.slice(0, file.length - extname(file).length)}.rejected.csv`

/**
 * The file is created when the first row is added. An existing file is never replaced, because it may contain corrections.
 * Instead, the name of the new file gets a number.
 * @throws Stopped when the directory cannot be written
 */
export async function openRejectedFile(
  { wanted, hasMark, out }: Target,
  { header, delimiter }: Pick<RowReader, 'header' | 'delimiter'>,
): Promise<RejectedFile> {
  if (wanted !== '-')
    await access(dirname(wanted), constants.W_OK).catch(() => {
      throw new Stopped(CODE.cannotWrite, `${wanted} cannot be written: choose another path with --rejected`)
    })
  const names = header.map((name) => name.trim().toLowerCase())
  // If the imported file is a file of rejected rows, it already has these columns.
  const kept = header.map((_, at) => at).filter((at) => !REJECTION_COLUMNS.some((each) => each === names[at]))
  const lineOf = (cells: readonly string[]) => stringify([cells.map(guarded)], { delimiter, quoted_match: /[\r\n]/ })
  let file: FileHandle | undefined
  let path: string | undefined
  let pending: Promise<void> = Promise.resolve()
  const write = async (text: string) => void (file ? await file.appendFile(text) : await out(text))
  const begin = async () => {
    if (path !== undefined) return
    path = wanted
    if (wanted !== '-') ({ file, path } = await created(wanted))
    const heading = lineOf([...kept.map((at) => header[at] ?? ''), ...REJECTION_COLUMNS])
    // Another delimiter is not found in the header line when the file is imported again.
    const declared = DELIMITERS.some((each) => each === delimiter) ? '' : `sep=${delimiter}\n`
    await write((hasMark ? BYTE_ORDER_MARK : '') + declared + heading)
  }
  return {
    add: (row, reason) => {
      pending = pending.then(async () => {
        await begin()
        await write(lineOf([...kept.map((at) => row.cells[at] ?? ''), String(row.line), reason]))
      })
      return pending
    },
    get path() {
      return wanted === '-' ? undefined : path
    },
    close: async () => {
      await pending.catch(() => {})
      await file?.close()
    },
  }
}

async function created(wanted: string): Promise<{ file: FileHandle; path: string }> {
  const stem = wanted.slice(0, wanted.length - extname(wanted).length)
  for (let number = 1; number < NAMES_MAX; number += 1) {
    const path = number === 1 ? wanted : `${stem}.${number}${extname(wanted)}`
    try {
      return { file: await open(path, 'wx', 0o600), path }
    } catch (error) {
      const isTaken = error instanceof Error && 'code' in error && error.code === 'EEXIST'
      if (!isTaken) throw new Stopped(CODE.cannotWrite, `${path} cannot be written: ${error}`)
    }
  }
  throw new Stopped(
    CODE.cannotWrite,
    `${wanted} exists, and so do ${NAMES_MAX - 2} numbered ones: choose another path with --rejected`,
  )
}
