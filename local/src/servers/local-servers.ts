// Private RabbitMQ and MySQL as a pair: first start, start again, control from another process, end.
import { randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { run } from './command.ts'
import { freePorts } from './free-ports.ts'
import { installPrograms } from './install.ts'
import { kept } from './kept.ts'
import { LocalMysql } from './local-mysql.ts'
import { LocalRabbitmq } from './local-rabbitmq.ts'
import { findPrograms, type Programs, rabbitmqVersionOf } from './programs.ts'
import type { OnProgress, Servers } from './servers.ts'
import { type LocalState, readState, type State, writeState } from './state.ts'

const SECRET_BYTES = 18

/** Starts both servers in `directory`, or goes on using those that run there. */
export async function startLocal(directory: string, onProgress: OnProgress): Promise<Servers> {
  const found = findPrograms()
  const programs = 'missing' in found ? await installPrograms(found.missing, onProgress) : found
  const before = readState(directory)
  if (before === undefined) writeState(directory, await firstState(programs))
  const { rabbitmq, mysql } = controls(directory)
  const verb = before === undefined ? 'preparing and starting' : 'starting'
  if (!rabbitmq.isRunning || !mysql.isRunning) onProgress(`${verb} private RabbitMQ and MySQL in ${directory}`)
  const results = await Promise.allSettled([rabbitmq.start(), mysql.start()])
  const failures = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []))
  if (failures.length > 0) {
    await Promise.allSettled([rabbitmq.end(), mysql.end()])
    throw failures[0]
  }
  return attachLocal(directory)
}

/** Control of the servers of `directory`, whether they run or not. */
export function attachLocal(directory: string): Servers {
  const { rabbitmq, mysql } = controls(directory)
  return {
    mode: 'local',
    rabbitmq,
    mysql,
    close: async ({ deleteData }) => {
      await Promise.all([rabbitmq.end(), mysql.end()])
      if (!deleteData) return
      for (const name of ['rabbitmq', 'mysql', 'servers.json']) {
        rmSync(join(directory, name), { recursive: true, force: true })
      }
    },
  }
}

function controls(directory: string): { rabbitmq: LocalRabbitmq; mysql: LocalMysql } {
  const isLocal = (state: State): state is LocalState => state.mode === 'local'
  const ofRabbitmq = kept(
    directory,
    isLocal,
    (state) => state.rabbitmq,
    (state, rabbitmq) => ({ ...state, rabbitmq }),
  )
  const ofMysql = kept(
    directory,
    isLocal,
    (state) => state.mysql,
    (state, mysql) => ({ ...state, mysql }),
  )
  return { rabbitmq: new LocalRabbitmq(directory, ofRabbitmq), mysql: new LocalMysql(directory, ofMysql) }
}

async function firstState(programs: Programs): Promise<LocalState> {
  const [amqp = 0, distributionPort = 0, epmdPort = 0, mysql = 0] = await freePorts(4)
  const secret = () => randomBytes(SECRET_BYTES).toString('base64url')
  return {
    mode: 'local',
    rabbitmq: {
      port: amqp,
      distributionPort,
      epmdPort,
      username: 'ims',
      password: secret(),
      cookie: secret(),
      version: rabbitmqVersionOf(programs) ?? (await askForVersion(programs)),
      prepared: false,
    },
    mysql: { port: mysql, user: 'ims', password: secret(), database: 'ims', version: 'unknown', prepared: false },
  }
}

async function askForVersion({ rabbitmqScripts }: Programs): Promise<string> {
  return (await run(join(rabbitmqScripts, 'rabbitmqctl'), ['version'])).trim()
}
