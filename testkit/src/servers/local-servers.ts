// Starts, restarts, controls and stops a private RabbitMQ and a private MySQL as a pair.
import { randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { stopAllStartedFor } from './background-process.ts'
import { run } from './command.ts'
import { freePorts } from './free-ports.ts'
import { installPrograms } from './install.ts'
import { keptIn } from './kept.ts'
import { LocalMysql } from './local-mysql.ts'
import { LocalRabbitmq } from './local-rabbitmq.ts'
import { isCopy, placeOf } from './place.ts'
import { findPrograms, type Programs, rabbitmqVersionOf } from './programs.ts'
import type { OnProgress, ServerProcess, Servers } from './servers.ts'
import { type LocalState, readState, statePath, writeState } from './state.ts'

const SECRET_BYTES = 18
const FOLDERS = ['rabbitmq', 'mysql']
const STOPPED_WITHIN_MS = 30_000
const INTERRUPTED_WITHIN_MS = 1_000
const STOP_AGAIN_AFTER_MS = 100

/** Starts both servers in `directory`, or uses the running ones. When `interrupted` aborts, stops them and rejects. */
export async function startLocal(
  directory: string,
  onProgress: OnProgress,
  interrupted?: AbortSignal,
): Promise<Servers> {
  const found = findPrograms()
  const programs = 'missing' in found ? await installPrograms(found.missing, onProgress) : found
  const before = readState(directory)
  if (before === undefined) writeState(directory, await firstState(directory, programs))
  else await settle(directory, onProgress)
  const { rabbitmq, mysql } = controls(directory)
  const verb = before === undefined ? 'preparing and starting' : 'starting'
  if (!rabbitmq.isRunning || !mysql.isRunning) onProgress(`${verb} private RabbitMQ and MySQL in ${directory}`)
  interrupted?.throwIfAborted()
  const starting = Promise.allSettled([rabbitmq.start(), mysql.start()])
  const results = await endedBy(interrupted, starting, directory)
  const failures = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []))
  if (failures.length > 0) {
    await Promise.allSettled([rabbitmq.end(), mysql.end()])
    interrupted?.throwIfAborted()
    throw failures[0]
  }
  return attachLocal(directory)
}

/** Controls the servers of `directory`, whether they run or not. */
export function attachLocal(directory: string): Servers {
  const { rabbitmq, mysql } = controls(directory)
  return {
    mode: 'local',
    rabbitmq,
    mysql,
    processes: [watchable('RabbitMQ', rabbitmq), watchable('MySQL', mysql)],
    close: async ({ deleteData }) => {
      await settle(directory, () => {})
      const now = controls(directory)
      await Promise.all([now.rabbitmq.end(), now.mysql.end()])
      if (!deleteData) return
      for (const name of [...FOLDERS, 'servers.json']) {
        rmSync(join(directory, name), { recursive: true, force: true })
      }
    },
  }
}

/** Waits until `starting` has settled. When `interrupted` aborts, repeatedly stops every started process until then. */
async function endedBy<T>(interrupted: AbortSignal | undefined, starting: Promise<T>, directory: string): Promise<T> {
  let isOver = false
  const end = async () => {
    for (; !isOver; await sleep(STOP_AGAIN_AFTER_MS))
      for (const folder of [...FOLDERS, 'rabbitmq/epmd'])
        await stopAllStartedFor(join(directory, folder), INTERRUPTED_WITHIN_MS).catch(() => {})
  }
  const ending = () => void end()
  interrupted?.addEventListener('abort', ending)
  try {
    return await starting
  } finally {
    isOver = true
    interrupted?.removeEventListener('abort', ending)
  }
}

const watchable = (name: ServerProcess['name'], server: LocalRabbitmq | LocalMysql): ServerProcess => ({
  name,
  identity: () => server.process,
  start: () => server.start(),
  stop: () => server.stop(),
})

/** Adapts the state to this location. If the directory was moved, stops the servers of the old location. A copy does not affect the original. */
async function settle(directory: string, onProgress: OnProgress): Promise<void> {
  const state = readState(directory)
  const here = placeOf(directory)
  if (state?.mode !== 'local' || state.directory === here) return
  if (isCopy(statePath(directory), state.directory)) {
    onProgress(`${here} is a copy of ${state.directory}: its servers get new ports`)
    const { process: _broker, epmd: _epmd, ...rabbitmq } = state.rabbitmq
    const { process: _server, socketFolder: _socket, ...mysql } = state.mysql
    const ports = await newPorts()
    writeState(directory, {
      mode: 'local',
      directory: here,
      rabbitmq: { ...rabbitmq, ...ports.rabbitmq },
      mysql: { ...mysql, ...ports.mysql },
    })
    return
  }
  if (state.directory !== undefined) {
    onProgress(`the data was moved here from ${state.directory} and will be used`)
    const { rabbitmq, mysql } = controls(directory)
    await Promise.all([rabbitmq.end(), mysql.end()])
    // These processes still have the paths of the old location.
    await Promise.all(FOLDERS.map((name) => stopAllStartedFor(join(state.directory ?? here, name), STOPPED_WITHIN_MS)))
  }
  const now = readState(directory)
  if (now?.mode === 'local') writeState(directory, { ...now, directory: here })
}

function controls(directory: string): { rabbitmq: LocalRabbitmq; mysql: LocalMysql } {
  const { rabbitmq, mysql } = keptIn(directory, 'local')
  return { rabbitmq: new LocalRabbitmq(directory, rabbitmq), mysql: new LocalMysql(directory, mysql) }
}

async function newPorts() {
  const [amqp = 0, distributionPort = 0, epmdPort = 0, mysql = 0] = await freePorts(4)
  return { rabbitmq: { port: amqp, distributionPort, epmdPort }, mysql: { port: mysql } }
}

async function firstState(directory: string, programs: Programs): Promise<LocalState> {
  const ports = await newPorts()
  const secret = () => randomBytes(SECRET_BYTES).toString('base64url')
  return {
    mode: 'local',
    directory: placeOf(directory),
    rabbitmq: {
      ...ports.rabbitmq,
      username: 'ims',
      password: secret(),
      cookie: secret(),
      version: rabbitmqVersionOf(programs) ?? (await askForVersion(programs)),
      prepared: false,
    },
    mysql: { ...ports.mysql, user: 'ims', password: secret(), database: 'ims', version: 'unknown', prepared: false },
  }
}

async function askForVersion({ rabbitmqScripts }: Programs): Promise<string> {
  return (await run(join(rabbitmqScripts, 'rabbitmqctl'), ['version'])).trim()
}
