// The whole suite as an operator runs it, for one test file: one process per service, on a private vhost and database.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type ServiceName, serviceNames } from '@ims/accounts/suite'
import amqplib, { type ChannelModel, type ConfirmChannel } from 'amqplib'
import mysql, { type Pool } from 'mysql2/promise'
import {
  eventually,
  freePorts,
  run,
  type Servers,
  serversEnvironment,
  serversUnderTest,
  start,
  type TestSpace,
} from 'testkit'

export type { ServiceName }

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** Starting a process needs a second of CPU time, which takes much longer on a busy machine. */
const STARTS_WITHIN_MS = 60_000
/** A frozen process accepts the connection but never responds. */
const READY_ASKED_WITHIN_MS = 3_000

/** The name of a process of a service. Every replica after the first has a number. */
export type ReplicaName = ServiceName | `${ServiceName}#${number}`
export const SERVICES: readonly ServiceName[] = serviceNames

/** A running service of the suite. */
export interface ServiceProcess {
  readonly name: ReplicaName
  readonly pid: number
  readonly admin: string
  /** Its log so far, as parsed lines. */
  readonly log: readonly Record<string, unknown>[]
  kill(signal: NodeJS.Signals): void
  /** Its exit code, or the signal that ended it. */
  readonly exited: Promise<number | NodeJS.Signals>
  /** The reason why it is not ready, or undefined if it is ready. */
  notReady(): Promise<string | undefined>
}

export interface Stack {
  readonly servers: Servers
  readonly space: TestSpace
  readonly http: string
  readonly env: Record<string, string>
  readonly channel: ConfirmChannel
  readonly pool: Pool
  service(name: ReplicaName): ServiceProcess
  /**
   * Starts a service, or another replica of it. Afterwards, `service(name)` returns this process. `root` is the
   * directory of the sources, by default `options.root`.
   */
  start(name: ReplicaName, env?: Record<string, string>, root?: string): Promise<ServiceProcess>
  ready(...names: readonly ReplicaName[]): Promise<void>
  /** The number of ready messages in a queue, without unacknowledged ones. */
  depth(queue: string): Promise<number>
  deadLetters(queue: string): Promise<DeadLetter[]>
  skus(): Promise<string[]>
  /** The log of all processes of a service, including those that have ended. */
  lines(name: ReplicaName): Record<string, unknown>[]
  stop(): Promise<void>
}

export interface DeadLetter {
  readonly body: string
  readonly headers: Record<string, unknown>
  readonly messageId: unknown
}

export interface StackOptions {
  readonly services?: readonly ReplicaName[]
  readonly migrate?: boolean
  /** The directory of the sources to run, for example those of another version. Default: this repository. */
  readonly root?: string
  readonly env?: Record<string, string>
  /** Aborts the start, which then rejects. */
  readonly interrupted?: AbortSignal | undefined
  /** Additional variables of one service. */
  readonly envOf?: (name: ReplicaName) => Record<string, string>
}

/** Starts `services` on a new test space called `name`, and resolves when they are ready. Call `stop` when done. */
export async function startStack(name: string, options: StackOptions = {}): Promise<Stack> {
  const { servers, space } = await serversUnderTest(name)
  return await startStackOn(servers, space, options)
}

/** Like `startStack`, on an existing test space. */
export async function startStackOn(servers: Servers, space: TestSpace, options: StackOptions = {}): Promise<Stack> {
  const { rabbitmq, mysql: db } = space
  const [port = 0] = await freePorts(1)
  const env: Record<string, string> = {
    ...serversEnvironment(space),
    PORT: String(port),
    ADMIN_PORT: '0',
    LOG_FORMAT: 'json',
    ...options.env,
  }
  const http = `http://127.0.0.1:${port}`
  const running: ServiceProcess[] = []
  const peer = await openPeer(rabbitmq)
  const pool = mysql.createPool({
    host: db.host,
    port: db.port,
    user: db.user,
    password: db.password,
    database: db.database,
  })
  const stack: Stack = {
    servers,
    space,
    http,
    env,
    pool,
    get channel() {
      return peer.channel()
    },
    service: (which) => {
      const found = running.findLast((each) => each.name === which)
      if (!found) throw new Error(`${which} is not running`)
      return found
    },
    start: async (which, more = {}, root = options.root) => {
      const started = await startService(which, { ...env, ...options.envOf?.(which), ...more }, root)
      running.push(started)
      return started
    },
    ready: async (...names) => {
      for (const which of names.length > 0 ? names : new Set(running.map((each) => each.name)))
        await eventually(async () => {
          const why = await stack.service(which).notReady()
          if (why !== undefined) throw new Error(`${which} is not ready: ${why}`)
        })
    },
    depth: async (queue) => (await peer.channel().checkQueue(queue)).messageCount,
    // A fault may have just closed the channel.
    deadLetters: async (queue) => {
      await eventually(() => void peer.channel())
      return await takeDeadLetters(peer.channel(), queue)
    },
    skus: async () => {
      const [rows] = await pool.query<mysql.RowDataPacket[]>('SELECT sku FROM inventory ORDER BY id')
      return rows.map(({ sku }) => String(sku))
    },
    lines: (which) => running.filter((each) => each.name === which).flatMap(({ log }) => log),
    stop: async () => {
      for (const each of running) {
        each.kill('SIGTERM')
        // A process that a test has frozen handles SIGTERM only after SIGCONT.
        each.kill('SIGCONT')
      }
      await Promise.all(running.map((each) => each.exited))
      await pool.end()
      await peer.close()
      await space.drop()
    },
  }
  try {
    if (options.migrate !== false) await migrate(env, options.root)
    for (const which of options.services ?? SERVICES) {
      options.interrupted?.throwIfAborted()
      await stack.start(which)
    }
    await stack.ready()
    return stack
  } catch (error) {
    await stack.stop()
    throw error
  }
}

/** Runs the migrations as an operator would. */
export async function migrate(env: Record<string, string>, root = ROOT): Promise<void> {
  // An earlier version has its commands in another folder.
  const main = ['up/src/main.ts', 'local/src/main.ts'].find((path) => existsSync(join(root, path))) ?? ''
  await run(process.execPath, [main, 'migrate'], { cwd: root, env: { ...process.env, ...env } })
}

async function startService(name: ReplicaName, env: Record<string, string>, root = ROOT): Promise<ServiceProcess> {
  const log: Record<string, unknown>[] = []
  const { child, ended } = start({
    command: [process.execPath, join(name.replace(/#.*/, ''), 'src/main.ts')],
    cwd: root,
    // Leaves out jest's options (--experimental-vm-modules), which must not affect the service.
    env: { PATH: process.env.PATH, ...env },
    onLine: (line) => log.push(parsedLine(line)),
  })
  const exited = ended.then(({ code, signal }) => code ?? signal ?? 0)
  let admin = ''
  const starting = eventually(() => {
    const port = log.find((line) => line.adminPort !== undefined)?.adminPort
    if (port === undefined) throw new Error(`${name} did not start: ${JSON.stringify(log)}`)
    admin = `http://127.0.0.1:${port}`
  }, STARTS_WITHIN_MS)
  await Promise.race([starting, exited])
  if (admin === '') throw new Error(`${name} ended with ${await exited}: ${JSON.stringify(log)}`)
  return {
    name,
    pid: child.pid ?? 0,
    admin,
    log,
    kill: (signal) => {
      child.kill(signal)
    },
    exited,
    notReady: async () => {
      try {
        const response = await fetch(`${admin}/readyz`, { signal: AbortSignal.timeout(READY_ASKED_WITHIN_MS) })
        return response.status === 200 ? undefined : await response.text()
      } catch (error) {
        return `${error}, log: ${JSON.stringify(log.slice(-3))}`
      }
    },
  }
}

function parsedLine(line: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(line)
    if (typeof value === 'object' && value !== null) return { ...value }
  } catch {
    // Not JSON. The line is kept as text.
  }
  return { message: line }
}

/** The test's own connection. It is reopened whenever a fault closes it. */
async function openPeer({ username, password, host, port, vhost }: TestSpace['rabbitmq']) {
  const url = `amqp://${username}:${password}@${host}:${port}/${encodeURIComponent(vhost)}`
  let model: ChannelModel | undefined
  let current: ConfirmChannel | undefined
  let closing = false
  const open = async (): Promise<void> => {
    model = await amqplib.connect(url)
    model.on('error', () => {})
    model.on('close', () => {
      current = undefined
      if (!closing) void reopen()
    })
    await openChannel()
  }
  const openChannel = async (): Promise<void> => {
    const channel = await model?.createConfirmChannel()
    channel?.on('error', () => {})
    channel?.on('close', () => {
      if (current === channel) current = undefined
      if (!closing) void openChannel().catch(() => {})
    })
    current = channel
  }
  const reopen = async (): Promise<void> => {
    while (!closing) {
      try {
        return await open()
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 200))
      }
    }
  }
  await open()
  return {
    channel: (): ConfirmChannel => {
      if (!current) throw new Error("the test's own channel is not open at the moment")
      return current
    },
    close: async () => {
      closing = true
      await model?.close().catch(() => {})
    },
  }
}

async function takeDeadLetters(channel: ConfirmChannel, queue: string): Promise<DeadLetter[]> {
  const letters: DeadLetter[] = []
  for (;;) {
    const message = await channel.get(`${queue}.dead-letter`, { noAck: true })
    if (message === false) return letters
    const { content, properties } = message
    letters.push({ body: content.toString(), headers: properties.headers ?? {}, messageId: properties.messageId })
  }
}
