// Divides the memory of a process among its buffers. The limits for what is in flight follow from here.
import { totalmem } from 'node:os'
import { getHeapSpaceStatistics, getHeapStatistics, setFlagsFromString } from 'node:v8'
import { z } from 'zod'

const MIB = 1_048_576

/** What Node.js needs under load: code, the young generation of the heap, and garbage that is not collected yet. */
const NODE_BYTES = 112 * MIB
/** With less, the shares are too small to work with. */
const TOTAL_MIN_BYTES = 144 * MIB

export const memoryEnvironment = z
  .object({
    MEMORY_MAX_MIB: z
      .string()
      .regex(/^\d+$/, 'must be a whole number')
      .transform(Number)
      .pipe(z.int().min(1).max(1_048_576))
      .default(256)
      .describe(
        'memory that the process can use, in MiB; the memory limit of the container if that is lower. Limits that are not set are derived from it',
      ),
  })
  .transform((v) => ({ maxBytes: v.MEMORY_MAX_MIB * MIB }))

/** What is held in memory, each with its share of what Node.js leaves, in percent. */
interface Shares {
  /** Open connections, without what they sent. */
  readonly connections: number
  /** Data of incomplete requests, and of requests that wait behind another one on their connection. */
  readonly halfReadRequests: number
  /** Requests being handled. */
  readonly requestsInFlight: number
  /** Clients that wait for the outcome of a command. */
  readonly waits: number
  /** Messages written to the broker that are not confirmed. */
  readonly unconfirmedMessages: number
  /** Unacknowledged messages from the broker, with their parsed form. */
  readonly messagesInFlight: number
  /** Pages of a listing that are requested, built or sent. */
  readonly pages: number
  /** Dead letters that are read at once. */
  readonly deadLetterWindow: number
}
export type Buffered = keyof Shares

const PRODUCER: Shares = {
  connections: 28,
  halfReadRequests: 14,
  requestsInFlight: 10,
  waits: 5,
  unconfirmedMessages: 15,
  messagesInFlight: 0,
  pages: 18,
  deadLetterWindow: 10,
}
/** Its connections are those to the admin port. */
const CONSUMER: Shares = {
  connections: 4,
  halfReadRequests: 4,
  requestsInFlight: 2,
  waits: 0,
  unconfirmedMessages: 30,
  messagesInFlight: 60,
  pages: 0,
  deadLetterWindow: 0,
}
/** Its messages are small, and its replies are pages. */
const CONSUMER_FOUR: Shares = { ...CONSUMER, unconfirmedMessages: 22, messagesInFlight: 18, pages: 50 }
const SHARES: Readonly<Record<string, Shares>> = { producer: PRODUCER, consumer_four: CONSUMER_FOUR }

/** A setting needs more memory than its share. The message is one sentence for the operator. */
export class DoesNotFit extends Error {
  override readonly name = 'DoesNotFit'
}

/** A limit that an operator may set. `variable` is its name, `configured` its value if set. */
export interface Setting {
  readonly variable: string
  readonly configured: number | undefined
}

export class MemoryBudget {
  readonly totalBytes: number
  readonly #shares: Shares

  /** @throws DoesNotFit when `totalBytes` is too little for any service */
  constructor(service: string, totalBytes: number) {
    this.totalBytes = totalBytes
    this.#shares = SHARES[service] ?? CONSUMER
    if (totalBytes < TOTAL_MIN_BYTES)
      throw new DoesNotFit(
        `${service} may use ${mib(totalBytes)} MiB of memory and needs ${mib(TOTAL_MIN_BYTES)}: raise MEMORY_MAX_MIB, the container's limit, or --max-old-space-size`,
      )
  }

  /** Bytes that the buffer may hold. This counts allocated memory, so raw bytes and their parsed copies. */
  bytes(buffer: Buffered): number {
    return Math.floor(((this.totalBytes - NODE_BYTES) * this.#shares[buffer]) / 100)
  }

  /**
   * How many things of `costBytes` each the buffer may hold: the configured number, or else as many as fit, at most
   * `maxUseful`.
   * @throws DoesNotFit when the configured number does not fit
   */
  limit(
    buffer: Buffered,
    { variable, configured }: Setting,
    { costBytes = 1, maxUseful = Number.POSITIVE_INFINITY }: { costBytes?: number; maxUseful?: number } = {},
  ): number {
    const fits = Math.floor(this.bytes(buffer) / costBytes)
    if (configured === undefined) return Math.min(fits, maxUseful)
    if (configured > fits)
      throw new DoesNotFit(
        `${variable}=${configured} does not fit into ${mib(this.totalBytes)} MiB of memory: set at most ${fits}, or raise MEMORY_MAX_MIB and the container's limit`,
      )
    return configured
  }
}

/** Determines the memory of the process: the minimum of the configured value, its container, the machine and the heap. */
export function readMemoryBudget(service: string, { maxBytes }: { maxBytes: number }): MemoryBudget {
  // Without a limit it is 0, or a number larger than any machine.
  const constrained = process.constrainedMemory() || Number.POSITIVE_INFINITY
  return new MemoryBudget(service, Math.min(maxBytes, constrained, totalmem(), getHeapStatistics().heap_size_limit))
}

/** The young generation may be at most this fraction of the memory. */
const YOUNG_GENERATION_PART = 8
/** V8 lets buffers of twice this size gather in the young generation before it collects them. Its default is 32. */
const YOUNG_BUFFERS_MIB = 2
/** An older V8 does not know that flag, and would complain on the standard error. */
const YOUNG_BUFFERS_FROM_NODE = 24
const LOOK_AT_HEAP_EVERY_MS = 100

/**
 * Limits the heap's young generation, and the buffers that it refers to. V8 sizes it by the memory of the machine, up to 192
 * MiB, unless the container has less, and most of that is garbage. At this size one thread collects it: waking and
 * waiting for others costs more than they help, on a busy machine a third of all CPU time.
 */
export function limitYoungGeneration({ totalBytes }: Pick<MemoryBudget, 'totalBytes'>): void {
  setFlagsFromString('--no-parallel-scavenge')
  if (Number.parseInt(process.versions.node, 10) >= YOUNG_BUFFERS_FROM_NODE)
    setFlagsFromString(`--scavenger-max-new-space-capacity-mb=${YOUNG_BUFFERS_MIB}`)
  const looking = setInterval(() => {
    const young = getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space')
    if ((young?.space_size ?? 0) < totalBytes / YOUNG_GENERATION_PART) return
    setFlagsFromString('--semi-space-growth-factor=1')
    clearInterval(looking)
  }, LOOK_AT_HEAP_EVERY_MS).unref()
}

const mib = (bytes: number) => Math.floor(bytes / MIB)
