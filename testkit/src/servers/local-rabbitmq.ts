// A private RabbitMQ with its own node name, cookie, data, configuration, ports and epmd. It does not affect any other RabbitMQ.
import { randomUUID } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { listensOn } from '../processes/port-holder.ts'
import { isAlive, type ProcessIdentity } from '../processes/process-identity.ts'
import { startedFor } from '../processes/started-for.ts'
import { killProcess, startInBackground, stopAllStartedFor, stopProcess } from './background-process.ts'
import { run } from './command.ts'
import { endOf, waitFor } from './deadline.ts'
import { hasDefaultQueueType, policiesFor } from './definitions.ts'
import { expectFree } from './free-ports.ts'
import { rabbitmqVersion } from './handshake.ts'
import type { Kept } from './kept.ts'
import { foundPrograms } from './programs.ts'
import type { Rabbitmq } from './servers.ts'
import type { LocalState } from './state.ts'

const HOST = '127.0.0.1'
const VHOST = '/'
/** The node name for new data. It is also the name of a data folder, so it must not depend on the location of the directory. */
const NODE_NAME = 'ims@localhost'
const EARLIER_NODE_NAME = /^ims-[0-9a-f]{10}@localhost$/
const STARTED_WITHIN_MS = 90_000
const STOPPED_WITHIN_MS = 30_000

type Own = LocalState['rabbitmq']

/** Controls the RabbitMQ of `directory`, whether it runs or not. */
export class LocalRabbitmq implements Rabbitmq {
  readonly host = HOST
  readonly port: number
  readonly username: string
  readonly password: string
  readonly vhost = VHOST
  readonly version: string
  readonly #directory: string
  readonly #kept: Kept<Own>
  readonly #joins: string | undefined

  /** `joins` is the name of a node whose cluster this node joins. It then uses the epmd and the cookie of that node. */
  constructor(directory: string, kept: Kept<Own>, joins?: string) {
    const { port, username, password, version } = kept.get()
    this.port = port
    this.username = username
    this.password = password
    this.version = version
    this.#directory = directory
    this.#kept = kept
    this.#joins = joins
  }

  get process(): ProcessIdentity | undefined {
    return this.#kept.get().process
  }

  get isRunning(): boolean {
    return this.process !== undefined && isAlive(this.process)
  }

  /** True when exactly this node listens on its ports. */
  get #listens(): boolean {
    const { process, port, distributionPort } = this.#kept.get()
    return process !== undefined && [port, distributionPort].every((each) => listensOn(process.pid, each))
  }

  async start(): Promise<void> {
    if (!this.isRunning) {
      await this.#endOrphans()
      this.#kept.set({ nodeName: this.#nodeName })
      this.#writeConfiguration()
      await expectFree('RabbitMQ', [this.port, this.#kept.get().distributionPort])
      await this.#startEpmd()
      this.#kept.set({ process: await this.#startNode() })
    }
    await waitFor({
      what: `start of RabbitMQ on ${HOST}:${this.port}`,
      withinMs: STARTED_WITHIN_MS,
      logs: this.#logs,
      attempt: async () => (this.#listens ? await rabbitmqVersion(HOST, this.port) : undefined),
      hopeless: () => (this.isRunning ? undefined : 'it has exited'),
    })
    if (this.#kept.get().prepared) return
    if (this.#joins === undefined) await this.importDefinitions(policiesFor(VHOST, this.version))
    else for (const args of [['stop_app'], ['join_cluster', this.#joins], ['start_app']]) await this.ctl(...args)
    this.#kept.set({ prepared: true })
  }

  async stop(): Promise<void> {
    await stopProcess(this.#kept.get().process, STOPPED_WITHIN_MS)
  }

  async kill(): Promise<void> {
    await killProcess(this.#kept.get().process)
  }

  /** Stops the node, its epmd, and processes that a killed start has left. */
  async end(): Promise<void> {
    await this.stop()
    if (this.#joins === undefined) await stopProcess(this.#kept.get().epmd, STOPPED_WITHIN_MS)
    await this.#endOrphans()
  }

  /** Stops a node and an epmd that a killed start has left and that are not in the state. An epmd in the state may serve a cluster. */
  async #endOrphans(): Promise<void> {
    await stopAllStartedFor(this.#path(), STOPPED_WITHIN_MS)
    const { epmd } = this.#kept.get()
    if (epmd === undefined || !isAlive(epmd)) await stopAllStartedFor(this.#path('epmd'), STOPPED_WITHIN_MS)
  }

  async ctl(...args: string[]): Promise<string> {
    const program = join(foundPrograms().rabbitmqScripts, 'rabbitmqctl')
    return await run(program, ['--quiet', ...args], { cwd: this.#path(), env: this.#environment() })
  }

  async importDefinitions(json: string): Promise<void> {
    // Imports from a file, because rabbitmqctl of RabbitMQ 4.3 fails when it reads from standard input.
    const file = this.#path(`definitions-${randomUUID()}.json`)
    writeFileSync(file, json, { mode: 0o600 })
    try {
      await this.ctl('import_definitions', file)
    } finally {
      rmSync(file)
    }
  }

  async #startEpmd(): Promise<void> {
    const { epmd, epmdPort } = this.#kept.get()
    if (this.#joins !== undefined || (epmd !== undefined && isAlive(epmd))) return
    await expectFree("RabbitMQ's epmd", [epmdPort])
    // Start epmd here, so that it can be stopped. An epmd that the node starts keeps running after the node.
    const identity = await startInBackground({
      command: [foundPrograms().epmd, '-port', String(epmdPort), '-address', HOST],
      env: { ...this.#environment(), ...startedFor(this.#path('epmd')) },
      cwd: this.#directory,
      output: this.#path('epmd.log'),
    })
    this.#kept.set({ epmd: identity })
    await waitFor({
      what: `start of epmd on ${HOST}:${epmdPort}`,
      withinMs: STARTED_WITHIN_MS,
      logs: [this.#path('epmd.log')],
      attempt: async () => (listensOn(identity.pid, epmdPort) ? true : undefined),
      hopeless: () => (isAlive(identity) ? undefined : 'it has exited'),
    })
  }

  async #startNode() {
    const output = this.#path('output.log')
    rmSync(output, { force: true })
    try {
      return await startInBackground({
        command: [join(foundPrograms().rabbitmqScripts, 'rabbitmq-server')],
        env: {
          ...this.#environment(),
          ...startedFor(this.#path()),
          // Makes the script exec the node. The pid is then that of the node, and signals reach the node.
          RABBITMQ_ALLOW_INPUT: '1',
          RABBITMQ_SERVER_START_ARGS: '-noinput +B i',
        },
        cwd: this.#path(),
        output,
      })
    } catch (error) {
      throw new Error(`RabbitMQ could not be started${endOf(this.#logs)}`, { cause: error })
    }
  }

  #writeConfiguration(): void {
    const { port, username, password, cookie } = this.#kept.get()
    for (const folder of ['home', 'data', 'log', 'conf.d', 'schema']) mkdirSync(this.#path(folder), { recursive: true })
    const lines = [
      `listeners.tcp.1 = ${HOST}:${port}`,
      `default_user = ${username}`,
      `default_pass = ${password}`,
      // This is the default of RabbitMQ 4. Version 3 allows 128 MiB, and a consumer needs the whole message in memory.
      'max_message_size = 16777216',
      'log.file.rotation.size = 20000000',
      'log.file.rotation.count = 1',
      ...(hasDefaultQueueType(this.version) ? ['default_queue_type = quorum'] : []),
    ]
    writeFileSync(this.#path('rabbitmq.conf'), `${lines.join('\n')}\n`, { mode: 0o600 })
    writeFileSync(this.#path('advanced.config'), '[].\n')
    writeFileSync(this.#path('enabled_plugins'), '[].\n')
    const cookieFile = this.#path('home', '.erlang.cookie')
    rmSync(cookieFile, { force: true })
    writeFileSync(cookieFile, cookie)
    // Erlang refuses a cookie that others can read.
    chmodSync(cookieFile, 0o400)
  }

  /** The environment of the node and of rabbitmqctl. Only PATH is inherited, because other variables could point to another RabbitMQ. */
  #environment(): NodeJS.ProcessEnv {
    const { distributionPort, epmdPort } = this.#kept.get()
    const loopbackOnly = '-kernel inet_dist_use_interface {127,0,0,1}'
    return {
      PATH: `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
      LANG: 'C.UTF-8',
      HOME: this.#path('home'),
      ERL_EPMD_PORT: String(epmdPort),
      ERL_EPMD_ADDRESS: HOST,
      RABBITMQ_NODENAME: this.#nodeName,
      RABBITMQ_DIST_PORT: String(distributionPort),
      // This path leads to the node's working directory, because the disk monitor of RabbitMQ hangs if the path contains a quote.
      RABBITMQ_MNESIA_BASE: process.platform === 'linux' ? '/proc/self/cwd/data' : this.#path('data'),
      RABBITMQ_LOG_BASE: this.#path('log'),
      RABBITMQ_CONFIG_FILE: this.#path('rabbitmq.conf'),
      RABBITMQ_CONFIG_FILES: this.#path('conf.d'),
      RABBITMQ_ADVANCED_CONFIG_FILE: this.#path('advanced.config'),
      RABBITMQ_CONF_ENV_FILE: this.#path('no-such-file'),
      RABBITMQ_ENABLED_PLUGINS_FILE: this.#path('enabled_plugins'),
      RABBITMQ_SCHEMA_DIR: this.#path('schema'),
      RABBITMQ_PID_FILE: this.#path('pid'),
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: loopbackOnly,
      RABBITMQ_CTL_ERL_ARGS: loopbackOnly,
      // With 0 the system chooses a free port, so that any number of nodes can run at once.
      RABBITMQ_CTL_DIST_PORT_MIN: '0',
      RABBITMQ_CTL_DIST_PORT_MAX: '0',
    }
  }

  get #nodeName(): string {
    return this.#kept.get().nodeName ?? this.#nodeNameOfData() ?? NODE_NAME
  }

  /** Earlier versions of this file derived the node name from the directory. The data then has a folder with that name. */
  #nodeNameOfData(): string | undefined {
    const data = this.#path('data')
    const names = existsSync(data) ? readdirSync(data).filter((name) => EARLIER_NODE_NAME.test(name)) : []
    if (names.length > 1)
      throw new Error(
        `${data} holds the data of ${names.length} RabbitMQ nodes (${names.join(', ')}): the directory was moved. Delete the folders of all but the one to keep, then start again`,
      )
    return names[0]
  }

  get #logs(): string[] {
    return [this.#path('output.log'), this.#path('log', `${this.#nodeName}.log`)]
  }

  #path(...parts: string[]): string {
    return join(this.#directory, 'rabbitmq', ...parts)
  }
}
