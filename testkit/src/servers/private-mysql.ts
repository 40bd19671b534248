// An additional private MySQL or MariaDB, for tests that need special server options.
import { randomBytes } from 'node:crypto'
import { freePorts } from './free-ports.ts'
import { keptInMemory } from './kept.ts'
import { LocalMysql } from './local-mysql.ts'
import { findPrograms } from './programs.ts'
import type { Mysql } from './servers.ts'

const SECRET_BYTES = 18

/** True when the programs for private servers are installed on this machine. */
export const hasServerPrograms = (): boolean => !('missing' in findPrograms())

export interface PrivateMysql {
  readonly mysql: Mysql
  /** Stops the server. Its data is kept in the directory. */
  end(): Promise<void>
}

/** Starts a server in `directory` with additional command-line `options`. Rejects when the programs are not installed. */
export async function privateMysql(directory: string, options: readonly string[]): Promise<PrivateMysql> {
  const [port = 0] = await freePorts(1)
  const password = randomBytes(SECRET_BYTES).toString('base64url')
  const mysql = new LocalMysql(
    directory,
    keptInMemory({ port, user: 'ims', password, database: 'ims', version: 'unknown', prepared: false }),
    () => options,
  )
  await mysql.start()
  return { mysql, end: () => mysql.end() }
}
