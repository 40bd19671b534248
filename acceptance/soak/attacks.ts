// The attacks of the soak test. Each tries to overload the suite in one way, at a moderate rate, until its turn ends.
import { connect as connectTcp, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { connect as connectAmqp } from 'amqplib'
import { field, openRawPublisher, type RawPublisher, sized } from '../../messaging/test/raw-amqp.ts'
import type { Random } from '../faults/random.ts'

/** The names of all items that attacks create start with this word, and their invalid commands contain it. Honest clients never use it. */
export const HOSTILE = 'hostile'

export interface Target {
  readonly http: string
  /** The admin ports of all services. */
  readonly admin: readonly string[]
  readonly amqp: string
}

export interface Attack {
  readonly name: string
  /** A fault that the soak test injects during the attack. */
  readonly fault?: 'slow uplink' | 'consumer two frozen'
  run(scene: Scene): Promise<void>
}

export interface Scene {
  readonly target: Target
  readonly random: Random
  /** Aborts when the turn ends. */
  readonly over: AbortSignal
}

/** The number of attackers. Each has its own address and API key, which honest clients do not use. */
const ATTACKERS = 40
export const ATTACKERS_KEYS = times(ATTACKERS, (n) => `attacker-${n}`)
export const OPERATORS_KEY = 'operator'
const MIB = 1_048_576
const HOST = 'Host: 127.0.0.1\r\n'
const JSON_TYPE = 'Content-Type: application/json\r\n'

let created = 0
function newItem(name = HOSTILE): string {
  created += 1
  const sku = `H${process.pid}-${created}`
  return JSON.stringify({ sku, name, label: HOSTILE, price: 1, quantity: 1 })
}

/** Makes the bytes of a request with this API key. */
type Bytes = (key: string) => string
const post =
  (body: string, headers = ''): Bytes =>
  (key) =>
    `POST /create_item HTTP/1.1\r\n${HOST}X-API-Key: ${key}\r\n${JSON_TYPE}${headers}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
const getPath =
  (path: string): Bytes =>
  (key) =>
    `GET ${path} HTTP/1.1\r\n${HOST}X-API-Key: ${key}\r\n\r\n`
/** Makes the bytes of `count` requests in one write. */
const pipelined =
  (count: number, make: (n: number) => Bytes): Bytes =>
  (key) =>
    times(count, (n) => make(n)(key)).join('')

function times<T>(count: number, make: (n: number) => T): T[] {
  return Array.from({ length: count }, (_, n) => make(n))
}

/** The connections of one attack. All are closed at its end. */
class Connections {
  readonly #random: Random
  readonly #open = new Set<Socket>()

  constructor(random: Random) {
    this.#random = random
  }

  /** Sends bytes on a new connection. Reads the response, or reads nothing at all. */
  send(url: string, bytes: string | Bytes, reads: 'reads' | 'reads nothing'): Socket {
    const attacker = this.#random.whole(0, ATTACKERS - 1)
    const localAddress = `127.0.1.${1 + attacker}`
    const socket = connectTcp({ port: Number(new URL(url).port), host: '127.0.0.1', localAddress })
    this.#open.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => this.#open.delete(socket))
    if (reads === 'reads') socket.resume()
    else socket.pause()
    socket.write(typeof bytes === 'string' ? bytes : bytes(ATTACKERS_KEYS[attacker] ?? ''))
    return socket
  }

  closeAll(): void {
    for (const socket of this.#open) socket.destroy()
  }
}

/** Calls `once` at intervals until the turn ends. */
async function repeat({ over }: Scene, everyMs: number, once: (n: number) => void | Promise<void>): Promise<void> {
  for (let n = 0; !over.aborted; n += 1) {
    await once(n)
    await pause(everyMs, undefined, { signal: over }).catch(() => {})
  }
}

function overHttp(
  name: string,
  everyMs: number,
  once: (scene: Scene, connections: Connections, n: number) => void,
  fault?: Attack['fault'],
): Attack {
  return {
    name,
    ...(fault === undefined ? {} : { fault }),
    run: async (scene) => {
      const connections = new Connections(scene.random)
      await repeat(scene, everyMs, (n) => once(scene, connections, n))
      connections.closeAll()
    },
  }
}

/** Calls `once` at intervals with a publisher that can send any bytes. At the end, purges the dead letters of the queues in `purges`. */
function overAmqp(
  name: string,
  everyMs: number,
  once: (scene: Scene, raw: RawPublisher, replyTo: Buffer) => Promise<void>,
  purges: readonly string[] = [],
): Attack {
  return {
    name,
    run: async (scene) => {
      const peer = await connectAmqp(scene.target.amqp)
      const channel = await peer.createChannel()
      const { queue } = await channel.assertQueue('', { exclusive: true })
      await channel.consume(queue, () => {}, { noAck: true })
      const raw = await openRawPublisher(scene.target.amqp)
      await repeat(scene, everyMs, () => once(scene, raw, Buffer.from(queue)))
      await raw.close()
      for (const each of purges) await channel.purgeQueue(`${each}.dead-letter`)
      await peer.close()
    },
  }
}

const UNREADABLE_ADDRESSES = ['!!!!', '====', 'AAAA', 'g1h2AA9yZXBseUAxMDU2NzYxODAAAFFtAAAAAGsIm3U=']
const uint32 = (value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
const header = (name: string, value: number) => field(name, 'I', uint32(value))

export const attacks: readonly Attack[] = [
  overHttp('pipelined listings that disconnect', 1_000, ({ target, random }, connections) => {
    const label = random.whole(0, 1_000_000)
    const bytes = pipelined(1_000, (n) => getPath(`/order_processing?limit=1&label=zz${label}-${n}`))
    const socket = connections.send(target.http, bytes, 'reads nothing')
    setTimeout(() => socket.destroy(), 100)
  }),
  overHttp('large pages', 500, ({ target, random }, connections) => {
    for (const path of times(
      10,
      () => `/order_processing?limit=${random.whole(4_900, 5_000)}&after=${random.whole(0, 9_000)}`,
    ))
      connections.send(target.http, getPath(path), 'reads')
  }),
  overHttp('pages that are not read', 400, ({ target, random }, connections) => {
    const path = `/order_processing?limit=5000&after=${random.whole(0, 9_000)}`
    connections.send(target.http, getPath(path), 'reads nothing')
    connections.send(target.http, getPath('/order_processing'), 'reads nothing')
  }),
  overHttp('half headers', 200, ({ target }, connections) => {
    for (const bytes of times(60, () => `GET / HTTP/1.1\r\n${HOST}X: ${'x'.repeat(16_000)}`))
      connections.send(target.http, bytes, 'reads')
  }),
  overHttp('half bodies', 200, ({ target }, connections) => {
    const head = `POST /create_item HTTP/1.1\r\n${HOST}${JSON_TYPE}Content-Length: 100000\r\n\r\n`
    for (const bytes of times(20, () => head + ' '.repeat(99_000))) connections.send(target.http, bytes, 'reads')
  }),
  overHttp('5,000 requests in one write', 8_000, ({ target }, connections) => {
    connections.send(
      target.http,
      pipelined(5_000, () => post(newItem())),
      'reads',
    )
  }),
  overHttp(
    'waits of clients that disconnect',
    500,
    ({ target }, connections) => {
      const bytes = pipelined(8, () => post(newItem(), 'Prefer: wait=30\r\n'))
      for (let n = 0; n < 40; n += 1) {
        const socket = connections.send(target.http, bytes, 'reads nothing')
        setTimeout(() => socket.destroy(), 400)
      }
    },
    'consumer two frozen',
  ),
  overHttp(
    'creates over a slow uplink',
    250,
    ({ target }, connections) => {
      const bytes = pipelined(20, () => post(newItem(`${HOSTILE}${'é'.repeat(90)}`)))
      for (let n = 0; n < 4; n += 1) connections.send(target.http, bytes, 'reads')
    },
    'slow uplink',
  ),
  overHttp('admin ports flooded', 1_000, ({ target }, connections, n) => {
    for (const url of target.admin) {
      for (const path of ['/metrics', '/readyz'])
        connections.send(
          url,
          pipelined(250, () => getPath(path)),
          n % 2 === 0 ? 'reads nothing' : 'reads',
        )
      connections.send(url, '', 'reads')
    }
  }),
  overAmqp('whole lists and pages for the queue', 1_000, async ({ random }, raw, replyTo) => {
    const after = random.whole(0, 9_000)
    for (const headers of times(10, (n) => header('x-after', after + n)))
      await raw.publish('order_processing', Buffer.from('[]'), { headers })
    for (const headers of times(10, (n) => Buffer.concat([header('x-after', after + n), header('x-limit', 5_000)])))
      await raw.publish('order_processing', Buffer.from('[]'), { headers, replyTo })
    await raw.publish('order_processing', Buffer.from('[]'), { headers: header('x-after', after), replyTo })
  }),
  overAmqp('reply addresses that a broker crashes on', 500, async (_, raw, replyTo) => {
    for (const address of UNREADABLE_ADDRESSES) {
      const properties = { replyTo: Buffer.from(`amq.rabbitmq.reply-to.${address}.x`) }
      for (const body of times(10, () => newItem())) await raw.publish('create_item', Buffer.from(body), properties)
      for (let n = 0; n < 10; n += 1) await raw.publish('order_processing', Buffer.from('[]'), properties)
      await raw.publish('create_item', Buffer.from(`${HOSTILE}: bad`), { ...properties, messageId: replyTo })
    }
  }),
  overAmqp('refusals that nobody reads', 500, async ({ random }, raw) => {
    const node = `amq.gen-${random.whole(1_000_000, 9_999_999)}aaaaaaaaaaaaaaa`
    const headers = field('x-hears-refusals', 't', Buffer.from([1]))
    for (let n = 0; n < 30; n += 1)
      await raw.publish('create_item', Buffer.from(`${HOSTILE}${'x'.repeat(20_000)}`), {
        headers,
        replyTo: Buffer.from(node),
      })
  }),
  overAmqp('properties that cannot be written', 500, async (_, raw, replyTo) => {
    const correlationId = Buffer.alloc(86, 0xff)
    for (let n = 0; n < 100; n += 1)
      await raw.publish('order_processing', Buffer.from('[]'), {
        headers: header('x-limit', 1),
        replyTo,
        correlationId,
      })
    for (let n = 0; n < 10; n += 1)
      await raw.publish('create_item', Buffer.from(`${HOSTILE}: bad`), { messageId: correlationId })
    const headers = field('h', 'S', sized('\u001b]0;pwned\u0007\u202e'.repeat(1_000)))
    for (let n = 0; n < 10; n += 1)
      await raw.publish('stock_management', Buffer.from(`"${HOSTILE}"`), {
        headers,
        messageId: Buffer.from('\u001b[2J'),
      })
  }),
  overAmqp(
    'large messages',
    1_000,
    async (_, raw) => {
      for (const queue of ['create_item', 'healthcheck'])
        for (let n = 0; n < 5; n += 1)
          await raw.publish(queue, Buffer.from(`["${HOSTILE}${',"x"'.repeat(MIB / 4 - 100)}`))
      await raw.publish('create_item', Buffer.alloc(4 * MIB, HOSTILE))
    },
    ['create_item', 'healthcheck'],
  ),
  overAmqp(
    'large dead letters that are read',
    3_000,
    async ({ target }, raw) => {
      for (let n = 0; n < 2; n += 1)
        await raw.publish('healthcheck.dead-letter', Buffer.alloc(15 * MIB, HOSTILE), { deliveryMode: 2 })
      for (const path of ['/dead_letters', '/dead_letters/healthcheck', '/dead_letters/healthcheck/export']) {
        const response = await fetch(target.http + path, { headers: { 'X-API-Key': OPERATORS_KEY } })
        for await (const _ of response.body ?? []);
      }
    },
    ['healthcheck'],
  ),
]
