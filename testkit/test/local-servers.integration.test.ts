// A restart of servers when another process has taken one of their ports. That process must receive no credentials.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { identify, type ProcessIdentity } from '../src/processes/process-identity.ts'
import { freePorts } from '../src/servers/free-ports.ts'
import { keptInMemory } from '../src/servers/kept.ts'
import { LocalMysql } from '../src/servers/local-mysql.ts'
import { LocalRabbitmq } from '../src/servers/local-rabbitmq.ts'

const SECRET = 'a-secret-of-ours'
const VERSION = '3.10.8'

let directory: string
let impostor: Server
let port: number
let received: string

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'ims-local-servers-'))
  received = ''
  impostor = createServer((socket) => {
    socket.on('error', () => {})
    socket.on('data', (bytes) => {
      received += bytes.toString('latin1')
      if (received.startsWith('AMQP')) socket.write(connectionStart())
    })
    // A MySQL server sends the first bytes. With AMQP, the client does.
    if (greets) socket.write(Buffer.concat([Buffer.from([6, 0, 0, 0, 10]), Buffer.from('9.9\0x')]))
  }).listen(0, '127.0.0.1')
  await once(impostor, 'listening')
  const address = impostor.address()
  port = typeof address === 'object' && address !== null ? address.port : 0
})
afterEach(() => {
  impostor.close()
  rmSync(directory, { recursive: true, force: true })
})

let greets = false
const mysqlWith = (process?: ProcessIdentity) => {
  greets = true
  const own = { port, user: 'ims', password: SECRET, database: 'ims', version: '1', prepared: true }
  return new LocalMysql(directory, keptInMemory(process === undefined ? own : { ...own, process }))
}
const rabbitmqWith = async (ports: { amqp?: number; epmd?: number; process?: ProcessIdentity }) => {
  greets = false
  const [amqp = 0, distributionPort = 0, epmdPort = 0] = await freePorts(3)
  const own = {
    ...{
      port: ports.amqp ?? amqp,
      distributionPort,
      epmdPort: ports.epmd ?? epmdPort,
      username: 'ims',
      password: SECRET,
    },
    ...{ cookie: SECRET, version: VERSION, prepared: true },
  }
  return new LocalRabbitmq(
    directory,
    keptInMemory(ports.process === undefined ? own : { ...own, process: ports.process }),
  )
}

describe('a restart at the previous ports', () => {
  it('fails when another process has taken the port, names that process, and sends it nothing', async () => {
    const taken = `is taken by process ${process.pid} (`
    await expect(mysqlWith().start()).rejects.toThrow(`port ${port} of MySQL ${taken}`)
    await expect((await rabbitmqWith({ amqp: port })).start()).rejects.toThrow(`port ${port} of RabbitMQ ${taken}`)
    await expect((await rabbitmqWith({ epmd: port })).start()).rejects.toThrow(
      `port ${port} of RabbitMQ's epmd ${taken}`,
    )
    expect(received).toBe('')
  })

  it('fails when the server has exited and another process responds on the port', async () => {
    for (const serverOf of [mysqlWith, (own: ProcessIdentity) => rabbitmqWith({ amqp: port, process: own })]) {
      const server = await serverOf(shortLivedProcess())
      await expect(server.start()).rejects.toThrow(/it has exited/)
    }
    expect(received).toBe('')
  })
})

/** A process that listens on no port and exits after 3 s. */
function shortLivedProcess(): ProcessIdentity {
  const { pid } = spawn('sleep', ['3'], { stdio: 'ignore' })
  const identity = pid === undefined ? undefined : identify(pid)
  if (identity === undefined) throw new Error('sleep did not start')
  return identity
}

/** The start of RabbitMQ's first frame, enough to read its version. */
function connectionStart(): Buffer {
  const text = (size: number, value: string) => {
    const length = Buffer.alloc(size)
    length.writeUIntBE(value.length, 0, size)
    return Buffer.concat([length, Buffer.from(value)])
  }
  const table = Buffer.concat([text(1, 'version'), Buffer.from('S'), text(4, VERSION)])
  const payload = Buffer.concat([Buffer.from([0, 10, 0, 10, 0, 9]), text(4, table.toString('latin1'))])
  return Buffer.concat([Buffer.from([1, 0, 0]), text(4, payload.toString('latin1')), Buffer.from([0xce])])
}
