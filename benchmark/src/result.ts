// The result file: the rows, and the command, commit, machine and versions of the run. `--compare` reads an earlier result file.
import { readFile } from 'node:fs/promises'
import { cpus, loadavg, release, totalmem } from 'node:os'
import { commitOf, type Servers } from 'testkit'
import { z } from 'zod'
import { row } from './measured.ts'
import { ROOT } from './processes.ts'

const result = z.object({
  startedAt: z.string(),
  command: z.string(),
  /** The commit of this clone, with `-dirty` if files were changed. */
  commit: z.string(),
  isQuick: z.boolean(),
  rounds: z.int(),
  machine: z.string(),
  /** Load averages over one minute, at the start and at the end. If one exceeds the number of processors, the figures are unreliable. */
  load: z.array(z.number()),
  versions: z.record(z.string(), z.string()),
  rows: z.array(row),
})
export type Result = z.infer<typeof result>

/** A result without rows. */
export async function emptyResult(
  servers: Servers,
  about: Pick<Result, 'command' | 'isQuick' | 'rounds'>,
): Promise<Result> {
  const [first] = cpus()
  return {
    ...about,
    startedAt: new Date().toISOString(),
    commit: await commitOf(ROOT),
    machine: `${cpus().length} × ${first?.model ?? 'processor'}, ${Math.round(totalmem() / 1e9)} GB, Linux ${release()}`,
    load: [loadNow()],
    versions: { RabbitMQ: servers.rabbitmq.version, MySQL: servers.mysql.version, Node: process.versions.node },
    rows: [],
  }
}

export const loadNow = () => Math.round((loadavg()[0] ?? 0) * 10) / 10

/** Reads the file of an earlier run. Throws if it is not a result. */
export async function readResult(file: string): Promise<Result> {
  const parsed = result.safeParse(JSON.parse(await readFile(file, 'utf8')))
  if (!parsed.success) throw new Error(`${file} is not a result of this benchmark: ${z.prettifyError(parsed.error)}`)
  return parsed.data
}
