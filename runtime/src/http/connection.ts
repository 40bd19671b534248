// One connection of an HTTP server. It handles one request at a time, counts buffered bytes, and notices when the client disconnects.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { z } from 'zod'
import type { Shares } from './shares.ts'

/** While a request is handled, reading continues up to this many bytes, so that a disconnect is noticed. */
const READ_AHEAD_MAX_BYTES = 65_536

const END_OF_HEADERS = '\r\n\r\n'

export interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
}

interface Parts {
  /** Buffered bytes, by address. */
  readonly held: Shares
  readonly headersMaxBytes: number
  /** Called with one request at a time. The next call follows when the previous response was sent. */
  serve(exchange: Exchange): void
  /** Called once, when no more data of this client may be buffered. */
  overLimit(): void
}

/**
 * Passes data from a socket to Node's parser in pieces. Node would accept all requests of a chunk at once, and 63 kB can
 * hold 1,700 of them. A piece ends where headers may end. None is passed while a completely received request is being
 * handled. The parser receives the same bytes in the same order, so the pieces do not change how requests are parsed.
 */
export class Connection {
  readonly socket: Socket
  readonly address: string
  readonly #parts: Parts
  readonly #parse: (piece: Buffer) => void
  /** Requests that the parser has found. The first is being handled. The piece that ended it may have started a second one. */
  readonly #exchanges: Exchange[] = []
  #waiting: Buffer | undefined
  /** Size of the last piece, if another request may start in it. The piece itself is not kept in memory. */
  #begunBytes = 0
  /** A request whose response was sent before its whole body had arrived. The rest of the body is read and dropped. */
  #dropping: IncomingMessage | undefined
  /** Whether some of the received data has no response yet. */
  #hasBegun = false
  #heldBytes = 0
  #isPaused = false
  #isRefused = false
  #takenBytes = 0
  #progressAtMs = 0

  constructor(socket: Socket, address: string, parts: Parts) {
    this.socket = socket
    this.address = address
    this.#parts = parts
    const [feedParser] = socket.listeners('data')
    this.#parse = (piece) => void feedParser?.call(socket, piece)
    socket.removeAllListeners('data')
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    socket.once('close', () => this.#closed())
  }

  /** The most recent request, and whether it is the one being handled. */
  get last(): (Exchange & { readonly isInFlight: boolean }) | undefined {
    const last = this.#exchanges.at(-1)
    return last && { ...last, isInFlight: this.#exchanges.length === 1 }
  }

  /** Whether all data that was read has a response, and the client has received all responses. */
  get isIdle(): boolean {
    return this.#exchanges.length === 0 && !this.#hasBegun && this.socket.writableLength === 0
  }

  /** Adds a request that the parser has found. */
  found(exchange: Exchange): void {
    this.#exchanges.push(exchange)
    // `on` instead of `once`, which allocates more. A response emits `close` only once.
    exchange.response.on('close', () => this.#answered(exchange))
    if (this.#exchanges.length === 1) this.#parts.serve(exchange)
  }

  /** Stops parsing, and drops the unparsed data and all later data. */
  stopReading(): void {
    this.#isRefused = true
    this.#waiting = undefined
    if (this.#exchanges.length > 0) this.socket.pause()
  }

  /** Whether data is pending and the client has received none of it for `stallMs`. Call this at intervals. */
  isStalled(nowMs: number, stallMs: number): boolean {
    const taken = bytesTaken(this.socket)
    if (this.socket.writableLength === 0 || taken !== this.#takenBytes) {
      this.#takenBytes = taken
      this.#progressAtMs = nowMs
      return false
    }
    return nowMs - this.#progressAtMs >= stallMs
  }

  #read(chunk: Buffer): void {
    if (this.#isRefused) return
    const isDropped = this.#dropping?.complete === false
    this.#hasBegun ||= !isDropped
    if (!isDropped && !this.#hold(this.#heldBytes + chunk.length)) {
      this.#parts.overLimit()
      return
    }
    this.#waiting = this.#waiting === undefined ? chunk : Buffer.concat([this.#waiting, chunk])
    this.#parseOn()
    if (this.#waiting !== undefined && this.#waiting.length >= READ_AHEAD_MAX_BYTES) {
      this.#isPaused = true
      this.socket.pause()
    }
  }

  #parseOn(): void {
    while (this.#waiting !== undefined && this.#mayParse() && !this.socket.destroyed) {
      const piece = firstPiece(this.#waiting)
      this.#waiting = piece.length === this.#waiting.length ? undefined : this.#waiting.subarray(piece.length)
      this.#begunBytes = endsHeaders(piece) ? 0 : piece.length
      this.#parse(piece)
    }
  }

  #mayParse(): boolean {
    const [first, second] = this.#exchanges
    return first === undefined || (second === undefined && !first.request.complete)
  }

  #answered(exchange: Exchange): void {
    const at = this.#exchanges.indexOf(exchange)
    if (at < 0) return
    this.#exchanges.splice(at, 1)
    if (this.socket.destroyed) return
    const [next] = this.#exchanges
    if (next !== undefined) {
      this.#parts.serve(next)
      this.#parseOn() // the body of this request may be in the waiting data
    }
    if (next !== undefined || this.#isRefused) return
    this.#dropping = exchange.request.complete ? undefined : exchange.request
    // The beginning of the next request may have arrived with the end of this one.
    const begun = this.#begunBytes
    this.#begunBytes = 0
    this.#hasBegun = this.#waiting !== undefined
    this.#hold((this.#waiting?.length ?? 0) + Math.min(begun, this.#parts.headersMaxBytes))
    // Deferred, because a chunk full of fast requests would block all other connections.
    if (this.#waiting !== undefined) setImmediate(() => this.#goOn())
    else this.#goOn()
  }

  #goOn(): void {
    this.#parseOn()
    if (this.#isPaused && this.#waiting === undefined) {
      this.#isPaused = false
      this.socket.resume()
    }
  }

  #closed(): void {
    this.#waiting = undefined
    this.#exchanges.length = 0
    this.#hold(0)
  }

  /** Sets the number of buffered bytes. Returns false, and changes nothing, if a limit would be exceeded. */
  #hold(bytes: number): boolean {
    const more = bytes - this.#heldBytes
    if (more > 0 && !this.#parts.held.take(this.address, more)) return false
    if (more < 0) this.#parts.held.giveBack(this.address, -more)
    this.#heldBytes = bytes
    return true
  }
}

const LF = 10
const endsHeaders = (bytes: Buffer): boolean => bytes[bytes.length - 1] === LF && bytes[bytes.length - 3] === LF

/** The bytes up to the first position where headers may end. All bytes, if no complete request can follow. */
function firstPiece(bytes: Buffer): Buffer {
  const end = bytes.indexOf(END_OF_HEADERS) + END_OF_HEADERS.length
  if (end < END_OF_HEADERS.length || end === bytes.length) return bytes
  return bytes.indexOf(END_OF_HEADERS, end) < 0 ? bytes : bytes.subarray(0, end)
}

const handleOf = z.object({ bytesWritten: z.number(), writeQueueSize: z.number() })

/** Bytes that the operating system has accepted. During a large write this number grows, while `writableLength` stays the same. */
function bytesTaken(socket: Socket): number {
  const { data } = handleOf.safeParse(Reflect.get(socket, '_handle'))
  return data === undefined ? socket.bytesWritten - socket.writableLength : data.bytesWritten - data.writeQueueSize
}
