// Finds and runs independent Python programs, written with pika, that take the place of the Python suite.
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { start } from 'testkit'
import { ROOT, type Stack } from '../stack.ts'

const DIRECTORY = join(ROOT, '../shared/peers')
// Debian's own Python, which finds Debian's python3-pika. The PATH may contain another Python.
const PYTHON = '/usr/bin/python3'
const PACKAGES = ['python3-pika', 'python3-pymysql', 'python3-sqlalchemy']
const OURS = join(ROOT, 'acceptance/test/python')

/** The reason why the peers cannot run here, or undefined. */
export function withoutPeers(): string | undefined {
  if (!existsSync(DIRECTORY)) return `there are no peers in ${DIRECTORY}`
  return canImport()
    ? undefined
    : `Python packages are missing (to install them: apt-get install ${PACKAGES.join(' ')})`
}

function canImport(): boolean {
  try {
    execFileSync(PYTHON, ['-c', 'import pika, pymysql, sqlalchemy'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

export interface PeerRun {
  readonly code: number | null
  /** Its output, one parsed JSON object per line. */
  readonly events: readonly Record<string, unknown>[]
}

const brokerArguments = ({ space: { rabbitmq } }: Stack) => [
  '--host',
  rabbitmq.host,
  '--port',
  String(rabbitmq.port),
  '--user',
  rabbitmq.username,
  // The option and the password are one argument, because a password may begin with "-".
  `--password=${rabbitmq.password}`,
  '--vhost',
  rabbitmq.vhost,
]

/** Runs the Python producer to its end. */
export async function peerProducer(stack: Stack, ...args: readonly string[]): Promise<PeerRun> {
  const peer = spawnPeer('peer_producer.py', [...brokerArguments(stack), ...args])
  return { code: await peer.exited, events: peer.events }
}

export interface PeerConsumers {
  readonly events: readonly Record<string, unknown>[]
  stop(): Promise<void>
}

/** Starts Python consumers on the given queues, on the stack's MySQL, and waits until they are ready. */
export async function peerConsumers(stack: Stack, queues: readonly string[]): Promise<PeerConsumers> {
  const { mysql } = stack.space
  const store = [
    '--store',
    'mysql',
    '--db-host',
    mysql.host,
    '--db-port',
    String(mysql.port),
    '--db-user',
    mysql.user,
    `--db-password=${mysql.password}`,
    '--db-name',
    mysql.database,
  ]
  const peer = spawnPeer('peer_consumers.py', [...brokerArguments(stack), '--queues', queues.join(','), ...store])
  const deadline = Date.now() + 20_000
  while (!peer.events.some(({ event }) => event === 'ready')) {
    if (Date.now() > deadline)
      throw new Error(`the Python consumers did not become ready: ${JSON.stringify(peer.events)} ${peer.errors()}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return {
    events: peer.events,
    stop: async () => {
      peer.child.kill('SIGTERM')
      await peer.exited
    },
  }
}

/** Adds an item and reads the inventory with SQLAlchemy, as the Python suite does (read_with_sqlalchemy.py). */
export function readWithSqlalchemy({ space: { mysql } }: Stack): unknown {
  const url = `mysql+pymysql://${mysql.user}:${mysql.password}@${mysql.host}:${mysql.port}/${mysql.database}?charset=utf8mb4`
  return JSON.parse(execFileSync(PYTHON, [join(OURS, 'read_with_sqlalchemy.py'), url], { encoding: 'utf8' }))
}

function spawnPeer(script: string, args: readonly string[]) {
  const events: Record<string, unknown>[] = []
  let errors = ''
  const { child, ended } = start({
    command: [PYTHON, join(DIRECTORY, script), ...args],
    env: { ...process.env, PYTHONPATH: OURS },
    onLine: (line) => {
      if (line.startsWith('{')) events.push({ ...JSON.parse(line) })
      else errors += `${line}\n`
    },
  })
  return { child, events, exited: ended.then(({ code }) => code), errors: () => errors }
}
