// A TCP proxy that simulates network faults on demand: latency, low bandwidth, black holes, resets, half-closed connections, and
// connections that are cut at any byte.
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'

/** A fault that affects every connection while it is set. Delayed data is never dropped. */
export type Weather =
  | { readonly kind: 'latency'; readonly ms: number }
  | { readonly kind: 'bandwidth'; readonly bytesPerS: number; readonly towards: 'server' | 'client' | 'both' }
  /** No data arrives, and no connection is closed. Data that is sent during the fault arrives when the fault ends. */
  | { readonly kind: 'black hole'; readonly towards: 'server' | 'client' | 'both' }

export interface TcpProxy {
  readonly port: number
  /** The number of connections accepted so far. */
  readonly accepted: number
  /** The number of open connections. */
  readonly open: number
  /** Bytes forwarded so far, in both directions. */
  readonly passedBytes: number
  /** Sets the fault. Undefined ends it. */
  weather(weather: Weather | undefined): void
  /** Resets all connections, or the `max` oldest. Returns the number of connections. */
  cut(max?: number): number
  /** Closes the direction towards the server on all connections. The other direction stays open. Returns the number of connections. */
  halfClose(): number
  /**
   * On each connection, forwards slightly less than half of the next chunk, in either direction, and then resets the
   * connection. `cutMidway(false)` ends this.
   */
  cutMidway(on: boolean): void
  /** The number of connections that were cut midway so far. */
  readonly cutsMidway: number
  /** Resets each new connection when the server has sent this many bytes on it. Undefined ends this. */
  cutAfterBytes(bytes: number | undefined): void
  /** Resets each new connection at once, before it reaches the server, as if the server were unreachable. */
  turnAway(on: boolean): void
  /** The number of connections that were reset this way so far. */
  readonly turnedAway: number
  /**
   * Closes each new AMQP connection like a broker in maintenance mode: sends connection.close after connection.open-ok
   * and `answers` more responses of the server. Undefined ends this.
   */
  closeAsOpened(answers: number | undefined): void
  /** The number of connections that were closed this way so far. */
  readonly closedAsOpened: number
  /** When the `nth` chunk that contains `text` is sent to the server, holds back the server's responses on that connection. */
  holdAnswerTo(text: string, nth?: number): HeldAnswer
  /** Like holdAnswerTo, but resets the connection instead of forwarding the response. */
  loseAnswerTo(text: string, nth?: number): void
  /**
   * Responds with a MySQL error to the next `times` chunks that contain `text`, and does not forward them to the server.
   * With `open`, only on connections that are open now, as if new connections reached another server.
   */
  refuse(text: string, error: MysqlError, times?: number, connections?: 'open' | 'all'): Refusals
  close(): Promise<void>
}

export interface Refusals {
  /** The number of chunks refused so far. */
  readonly count: number
  /** Ends the refusal. */
  end(): void
}

export interface MysqlError {
  readonly errno: number
  readonly sqlState: string
  readonly message: string
}

/** A response of the server that the proxy holds back from the client. */
export interface HeldAnswer {
  /** Resolves when the server has responded. */
  readonly answered: Promise<void>
  /** Forwards the response. If there is none yet, stops waiting for it. */
  release(): void
  /** Resets the connection instead: the server processed the request, but the client gets no response. */
  lose(): void
}

interface Pair {
  readonly client: Socket
  readonly server: Socket
  answerBytesLeft: number | undefined
  /** When the AMQP connection is open: the number of responses until it is closed. When `closed`, the server's data is dropped. */
  closesIn: number | 'closed' | undefined
  held: Hold | undefined
}

interface Hold {
  readonly text: string
  left: number
  pair: Pair | undefined
  answered: () => void
  readonly released: Promise<void>
}

/** Listens on `port` of 127.0.0.1, or on a free port, and forwards all connections to `target`. */
export async function startTcpProxy(target: { host: string; port: number }, port = 0): Promise<TcpProxy> {
  const proxy = new Proxying(target)
  await proxy.listen(port)
  return proxy
}

class Proxying implements TcpProxy {
  readonly #target: { host: string; port: number }
  readonly #pairs = new Set<Pair>()
  readonly #server = createServer({ allowHalfOpen: true }, (client) => this.#connected(client))
  #weather: Weather | undefined
  #weatherChanged = Promise.withResolvers<void>()
  #midway = false
  #answerBytes: number | undefined
  #isTurningAway = false
  #closesAfter: number | undefined
  #wanted: Hold | undefined
  #refusal:
    | { text: string; packet: Buffer; left: number; count: number; only: ReadonlySet<Pair> | undefined }
    | undefined
  port = 0
  accepted = 0
  passedBytes = 0
  cutsMidway = 0
  turnedAway = 0
  closedAsOpened = 0

  constructor(target: { host: string; port: number }) {
    this.#target = target
  }

  async listen(port: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(port, '127.0.0.1', resolve)
    })
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('the proxy has no port')
    this.port = address.port
  }

  get open(): number {
    return this.#pairs.size
  }

  weather(weather: Weather | undefined): void {
    this.#weather = weather
    this.#weatherChanged.resolve()
    this.#weatherChanged = Promise.withResolvers()
  }

  cut(max = Number.POSITIVE_INFINITY): number {
    const pairs = [...this.#pairs].slice(0, max)
    for (const pair of pairs) reset(pair)
    return pairs.length
  }

  halfClose(): number {
    const pairs = [...this.#pairs]
    for (const { server } of pairs) server.end()
    return pairs.length
  }

  cutMidway(on: boolean): void {
    this.#midway = on
  }

  cutAfterBytes(bytes: number | undefined): void {
    this.#answerBytes = bytes
  }

  turnAway(on: boolean): void {
    this.#isTurningAway = on
  }

  closeAsOpened(answers: number | undefined): void {
    this.#closesAfter = answers
  }

  holdAnswerTo(text: string, nth = 1): HeldAnswer {
    const answered = Promise.withResolvers<void>()
    const released = Promise.withResolvers<void>()
    const hold: Hold = { text, left: nth, pair: undefined, answered: answered.resolve, released: released.promise }
    this.#wanted = hold
    const end = () => {
      if (this.#wanted === hold) this.#wanted = undefined
      if (hold.pair?.held === hold) hold.pair.held = undefined
      released.resolve()
    }
    return {
      answered: answered.promise,
      release: end,
      lose: () => {
        if (hold.pair) reset(hold.pair)
        end()
      },
    }
  }

  loseAnswerTo(text: string, nth = 1): void {
    const held = this.holdAnswerTo(text, nth)
    void held.answered.then(() => held.lose())
  }

  refuse(text: string, error: MysqlError, times = 1, connections: 'open' | 'all' = 'all'): Refusals {
    const only = connections === 'open' ? new Set(this.#pairs) : undefined
    const refusal = { text, packet: errorPacket(error), left: times, count: 0, only }
    this.#refusal = refusal
    return {
      get count() {
        return refusal.count
      },
      end: () => {
        if (this.#refusal === refusal) this.#refusal = undefined
      },
    }
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    this.weather(undefined)
    this.cut()
    await closed
  }

  #connected(client: Socket): void {
    if (this.#isTurningAway) {
      this.turnedAway += 1
      client.on('error', () => {}).resetAndDestroy()
      return
    }
    this.accepted += 1
    const server = connect({ ...this.#target, allowHalfOpen: true })
    const pair: Pair = { client, server, answerBytesLeft: this.#answerBytes, closesIn: undefined, held: undefined }
    this.#pairs.add(pair)
    for (const socket of [client, server]) {
      socket.setNoDelay(true)
      socket.on('error', () => {})
      socket.on('close', () => {
        this.#pairs.delete(pair)
        if (client.destroyed && server.destroyed) return
        // Close the other side after it has received the data in flight.
        const other = socket === client ? server : client
        if (socket.errored) other.resetAndDestroy()
        else other.destroySoon()
      })
    }
    void this.#pass(pair, client, server, 'server')
    void this.#pass(pair, server, client, 'client')
  }

  async #pass(pair: Pair, from: Socket, to: Socket, towards: 'server' | 'client'): Promise<void> {
    try {
      for await (const data of from) {
        const chunk: Buffer = data
        await this.#endure(chunk, towards)
        if (towards === 'server' && this.#refuses(pair, chunk)) continue
        if (towards === 'server') this.#watch(pair, chunk)
        else await this.#hold(pair)
        if (towards === 'client' && this.#closes(pair, chunk)) continue
        if (await this.#cutsHere(pair, chunk, to, towards)) return
        this.passedBytes += chunk.length
        if (!to.write(chunk)) await once(to, 'drain')
      }
      if (!to.destroyed) to.end()
    } catch {
      reset(pair)
    }
  }

  /** Delays a chunk as the current fault requires. A black hole delays it until the fault ends. */
  async #endure(chunk: Buffer, towards: 'server' | 'client'): Promise<void> {
    for (;;) {
      const weather = this.#weather
      if (weather === undefined) return
      if (weather.kind === 'latency') return void (await pause(weather.ms))
      if (weather.towards !== 'both' && weather.towards !== towards) return
      if (weather.kind === 'bandwidth') return void (await pause((chunk.length / weather.bytesPerS) * 1000))
      await this.#weatherChanged.promise
    }
  }

  #refuses(pair: Pair, chunk: Buffer): boolean {
    const refusal = this.#refusal
    if (refusal === undefined || refusal.left === 0 || !chunk.includes(refusal.text)) return false
    if (refusal.only?.has(pair) === false) return false
    refusal.left -= 1
    refusal.count += 1
    pair.client.write(refusal.packet)
    return true
  }

  /** Sends the response and a connection.close if the close is due. True if the close was sent, now or earlier. */
  #closes(pair: Pair, answer: Buffer): boolean {
    if (pair.closesIn === 'closed') return true
    if (this.#closesAfter === undefined) return false
    const isOpen = pair.closesIn !== undefined
    if (isOpen) pair.closesIn = Number(pair.closesIn) - 1
    else if (answer.includes(OPEN_OK)) pair.closesIn = this.#closesAfter
    if (pair.closesIn === undefined || pair.closesIn > 0) return false
    pair.closesIn = 'closed'
    this.closedAsOpened += 1
    pair.client.write(Buffer.concat([answer, CLOSE]))
    return true
  }

  #watch(pair: Pair, chunk: Buffer): void {
    const hold = this.#wanted
    if (hold === undefined || !chunk.includes(hold.text)) return
    hold.left -= 1
    if (hold.left > 0) return
    this.#wanted = undefined
    hold.pair = pair
    pair.held = hold
  }

  async #hold(pair: Pair): Promise<void> {
    const hold = pair.held
    if (hold === undefined) return
    hold.answered()
    await hold.released
  }

  async #cutsHere(pair: Pair, chunk: Buffer, to: Socket, towards: 'server' | 'client'): Promise<boolean> {
    if (this.#midway && chunk.length > 2) {
      this.cutsMidway += 1
      await cutAt(pair, chunk.subarray(0, (chunk.length >> 1) - 1), to)
      return true
    }
    if (towards === 'server' || pair.answerBytesLeft === undefined) return false
    if (chunk.length < pair.answerBytesLeft) {
      pair.answerBytesLeft -= chunk.length
      return false
    }
    await cutAt(pair, chunk.subarray(0, pair.answerBytesLeft), to)
    return true
  }
}

/** The frame connection.open-ok of AMQP 0-9-1. */
const OPEN_OK = Buffer.from([1, 0, 0, 0, 0, 0, 5, 0, 10, 0, 41, 0, 0xce])
/** The frame connection.close that RabbitMQ sends when it closes a connection by force. */
const CLOSE = closeFrame(320, 'CONNECTION_FORCED - drained')

function closeFrame(code: number, text: string): Buffer {
  const payload = Buffer.concat([
    Buffer.from([0, 10, 0, 50, code >> 8, code & 0xff, text.length]),
    Buffer.from(text, 'latin1'),
    Buffer.alloc(4),
  ])
  return Buffer.concat([Buffer.from([1, 0, 0, 0, 0, 0, payload.length]), payload, Buffer.from([0xce])])
}

/** An error as the first response to a command: https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_err_packet.html */
function errorPacket({ errno, sqlState, message }: MysqlError): Buffer {
  const payload = Buffer.concat([
    Buffer.from([0xff, errno & 0xff, errno >> 8]),
    Buffer.from(`#${sqlState}${message}`, 'utf8'),
  ])
  const header = Buffer.from([payload.length & 0xff, payload.length >> 8, 0, 1])
  return Buffer.concat([header, payload])
}

/** Forwards the last bytes, then resets the connection. */
async function cutAt(pair: Pair, last: Buffer, to: Socket): Promise<void> {
  await new Promise((resolve) => to.write(last, resolve))
  reset(pair)
}

function reset({ client, server }: Pair): void {
  for (const socket of [client, server]) {
    // libuv cannot reset a socket that is shutting down, and Node would never close its handle.
    if (socket.writableEnded && !socket.writableFinished) socket.destroy()
    else socket.resetAndDestroy()
  }
}
