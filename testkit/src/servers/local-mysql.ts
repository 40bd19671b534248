// A private MySQL or MariaDB with its own data, socket, port and log. It does not read the configuration of the host.

import { lstatSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { listensOn } from '../processes/port-holder.ts'
import { isAlive, type ProcessIdentity } from '../processes/process-identity.ts'
import { startedFor } from '../processes/started-for.ts'
import { killProcess, startInBackground, stopAllStartedFor, stopProcess } from './background-process.ts'
import { run } from './command.ts'
import { endOf, waitFor } from './deadline.ts'
import { expectFree } from './free-ports.ts'
import { mysqlVersion } from './handshake.ts'
import type { Kept } from './kept.ts'
import { foundPrograms } from './programs.ts'
import type { Mysql } from './servers.ts'
import type { LocalState } from './state.ts'

const HOST = '127.0.0.1'
const FILLED_WITHIN_MS = 120_000
const STARTED_WITHIN_MS = 60_000
const STOPPED_WITHIN_MS = 60_000
const SOCKET_PATH_MAX_BYTES = 100

type Own = LocalState['mysql']

/** Controls the MySQL of `directory`, whether it runs or not. */
export class LocalMysql implements Mysql {
  readonly host = HOST
  readonly port: number
  readonly user: string
  readonly password: string
  readonly database: string
  readonly version: string
  readonly #directory: string
  readonly #kept: Kept<Own>

  readonly #options: () => readonly string[]
  readonly #programPath: string | undefined

  /** `options` returns additional command-line options for the next start. `path` is the server's PATH. */
  constructor(
    directory: string,
    kept: Kept<Own>,
    options: () => readonly string[] = () => [],
    path: string | undefined = process.env.PATH,
  ) {
    const { port, user, password, database, version } = kept.get()
    this.port = port
    this.user = user
    this.password = password
    this.database = database
    this.version = version
    this.#directory = directory
    this.#kept = kept
    this.#options = options
    this.#programPath = path
  }

  get process(): ProcessIdentity | undefined {
    return this.#kept.get().process
  }

  get isRunning(): boolean {
    return this.process !== undefined && isAlive(this.process)
  }

  /** True when exactly this server listens on its port. */
  get #listens(): boolean {
    const { process } = this.#kept.get()
    return process !== undefined && listensOn(process.pid, this.port)
  }

  async start(): Promise<void> {
    if (!this.isRunning) {
      // A killed start may have left a server, or a process that initialises the data directory, which is not in the state.
      await stopAllStartedFor(this.#path(), STOPPED_WITHIN_MS)
      await expectFree('MySQL', [this.port])
      const options = this.#options()
      if (!this.#kept.get().prepared) await this.#fillDataDirectory()
      this.#kept.set({ prepared: true })
      this.#kept.set({ process: await this.#startServer(options) })
    }
    const version = await waitFor({
      what: `start of MySQL on ${HOST}:${this.port}`,
      withinMs: STARTED_WITHIN_MS,
      logs: this.#logs,
      attempt: async () => (this.#listens ? await mysqlVersion(HOST, this.port) : undefined),
      hopeless: () => (this.isRunning ? undefined : 'it has exited'),
    })
    if (version !== this.version) this.#kept.set({ version })
  }

  async stop(): Promise<void> {
    await stopProcess(this.#kept.get().process, STOPPED_WITHIN_MS)
  }

  async kill(): Promise<void> {
    await killProcess(this.#kept.get().process)
  }

  /** Stops the server and deletes its socket, which may be outside its directory. */
  async end(): Promise<void> {
    await this.stop()
    await stopAllStartedFor(this.#path(), STOPPED_WITHIN_MS)
    this.#removeSocket()
  }

  async sql(statements: string): Promise<string> {
    // Without --host the client would use MYSQL_HOST, and connect to that server instead.
    const args = [
      '--no-defaults',
      '--host=localhost',
      `--socket=${this.#socket()}`,
      '--user=root',
      '--batch',
      '--skip-column-names',
    ]
    const env = { ...process.env, MYSQL_PWD: this.password }
    return await run(foundPrograms().mysqlClient, args, { env, input: statements })
  }

  async #fillDataDirectory(): Promise<void> {
    const { mysqld, mariadbInstallDb } = foundPrograms()
    const { username } = userInfo()
    // A killed start may have left an incomplete directory.
    rmSync(this.#path('data'), { recursive: true, force: true })
    mkdirSync(this.#path(), { recursive: true })
    const env = { ...process.env, ...startedFor(this.#path()) }
    const how = { cwd: this.#path(), env, timeoutMs: FILLED_WITHIN_MS }
    if (mysqld.endsWith('mariadbd') && mariadbInstallDb !== undefined) {
      const root = ['--auth-root-authentication-method=normal', '--skip-test-db', '--skip-name-resolve']
      // The path is relative, because the script does not quote it and the full path may contain spaces.
      await run(mariadbInstallDb, ['--no-defaults', '--datadir=./data', `--user=${username}`, ...root], how)
      return
    }
    const args = ['--no-defaults', '--initialize-insecure', `--datadir=${this.#path('data')}`, `--user=${username}`]
    await run(mysqld, args, how)
  }

  async #startServer(options: readonly string[]): Promise<ProcessIdentity> {
    const output = this.#path('mysqld.log')
    rmSync(output, { force: true })
    // SQL statements can read and write files only in this folder, which is empty.
    const files = this.#path('files')
    rmSync(files, { recursive: true, force: true })
    mkdirSync(files, { mode: 0o700 })
    // MariaDB deletes all temporary tables in this folder when it starts, so the folder must not be shared with another server.
    const temporary = this.#path('tmp')
    mkdirSync(temporary, { recursive: true, mode: 0o700 })
    const initFile = this.#path('init.sql')
    writeFileSync(initFile, initialStatements(this.#kept.get()), { mode: 0o600 })
    try {
      return await startInBackground({
        command: [
          foundPrograms().mysqld,
          '--no-defaults',
          `--user=${userInfo().username}`,
          `--datadir=${this.#path('data')}`,
          `--socket=${this.#makeSocketPath()}`,
          `--port=${this.port}`,
          `--bind-address=${HOST}`,
          `--pid-file=${this.#path('pid')}`,
          `--init-file=${initFile}`,
          `--secure-file-priv=${files}`,
          `--tmpdir=${temporary}`,
          '--skip-name-resolve',
          '--skip-log-bin',
          '--character-set-server=utf8mb4',
          '--innodb-flush-log-at-trx-commit=1',
          '--innodb-buffer-pool-size=128M',
          '--performance-schema=OFF',
          ...(foundPrograms().mysqld.endsWith('mysqld') ? ['--mysqlx=OFF'] : []),
          ...options,
        ],
        env: { PATH: this.#programPath, LANG: 'C.UTF-8', HOME: this.#path(), ...startedFor(this.#path()) },
        cwd: this.#path(),
        output,
      })
    } catch (error) {
      throw new Error(`MySQL could not be started${endOf(this.#logs)}`, { cause: error })
    }
  }

  /** The path of a new socket. If the usual path is too long for a socket, creates a folder that other users cannot enter. */
  #makeSocketPath(): string {
    this.#removeSocket()
    if (this.#hasShortPath) return this.#socket()
    this.#kept.set({ socketFolder: mkdtempSync(join(tmpdir(), 'ims-mysql-')) })
    return this.#socket()
  }

  #socket(): string {
    if (this.#hasShortPath) return this.#path('socket')
    const { socketFolder } = this.#kept.get()
    if (socketFolder === undefined || !isPrivate(socketFolder))
      throw new Error(
        `the folder of MySQL's socket (${socketFolder ?? 'not created yet'}) is missing, or other users can enter it`,
      )
    return join(socketFolder, 'socket')
  }

  #removeSocket(): void {
    const { socketFolder } = this.#kept.get()
    rmSync(this.#path('socket'), { force: true })
    if (socketFolder !== undefined && isPrivate(socketFolder)) rmSync(socketFolder, { recursive: true })
  }

  get #hasShortPath(): boolean {
    return Buffer.byteLength(this.#path('socket')) <= SOCKET_PATH_MAX_BYTES
  }

  get #logs(): string[] {
    return [this.#path('mysqld.log')]
  }

  #path(...parts: string[]): string {
    return join(this.#directory, 'mysql', ...parts)
  }
}

/** True for a real folder, not a link, that only our user can enter. Other users can create files in the temporary directory too. */
function isPrivate(folder: string): boolean {
  const found = lstatSync(folder, { throwIfNoEntry: false })
  return found?.isDirectory() === true && found.uid === userInfo().uid && (found.mode & 0o077) === 0
}

/** The statements for --init-file, one per line. They can run at every start. The generated passwords need no escaping. */
function initialStatements({ user, password, database }: Own): string {
  return [
    // Every account of this machine could connect as these root users over TCP. Our root uses the socket, with a password.
    "DROP USER IF EXISTS 'root'@'127.0.0.1', 'root'@'::1';",
    `ALTER USER 'root'@'localhost' IDENTIFIED BY '${password}';`,
    `CREATE DATABASE IF NOT EXISTS \`${database}\` CHARACTER SET utf8mb4;`,
    `CREATE USER IF NOT EXISTS '${user}'@'%' IDENTIFIED BY '${password}';`,
    `GRANT ALL PRIVILEGES ON \`${database}\`.* TO '${user}'@'%';`,
    `GRANT ALL PRIVILEGES ON \`ims\\_%\`.* TO '${user}'@'%';`,
    '',
  ].join('\n')
}
