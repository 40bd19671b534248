// Divides the memory of a process between its buffers. The limits for connections, requests and messages are derived from these shares.
import { totalmem } from 'node:os'
import { getHeapSpaceStatistics, getHeapStatistics, setFlagsFromString } from 'node:v8'
import { z } from 'zod'
import { whole } from './variables.ts'

const MIB = 1_048_576

/** The memory that Node.js needs under load: code, the young generation of the heap, and garbage that is not collected yet. */
const NODE_BYTES = 112 * MIB
/** With less memory, the shares are too small. */
const TOTAL_MIN_BYTES = 144 * MIB

export const memoryEnvironment = z
  .object({
    MEMORY_MAX_MIB: whole(1, 1_048_576)
      .default(256)
      .describe(
        'memory that the process can use, in MiB; the memory limit of the container if that is lower. Limits that are not set are derived from it',
      ),
  })
  .transform((v) => ({ maxBytes: v.MEMORY_MAX_MIB * MIB }))

/** The share of each buffer, in percent of the memory that Node.js does not need. */
interface Shares {
  /** Open connections, without the data received on them. */
  readonly connections: number
  /** Data of incomplete requests, and of requests that wait for an earlier request on their connection. */
  readonly halfReadRequests: number
  /** Requests being handled. */
  readonly requestsInFlight: number
  /** Clients that wait for the outcome of a command. */
  readonly waits: number
  /** Messages that were sent to the broker and are not confirmed yet. */
  readonly unconfirmedMessages: number
  /** Unacknowledged messages, with their parsed form. */
  readonly messagesInFlight: number
  /** Pages of a listing that are being requested, built or sent. */
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
/** A consumer has HTTP connections only on its admin port. */
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
/** Consumer four has small messages, and its replies are pages of a listing. */
const CONSUMER_FOUR: Shares = { ...CONSUMER, unconfirmedMessages: 22, messagesInFlight: 18, pages: 50 }
const SHARES: Readonly<Record<string, Shares>> = { producer: PRODUCER, consumer_four: CONSUMER_FOUR }

/** A setting needs more memory than its share, or the process has too little memory. The message is one sentence for the operator. */
export class DoesNotFit extends Error {
  override readonly name = 'DoesNotFit'
}

/** A limit that an operator can set. `variable` is the environment variable, `configured` its value if set. */
export interface Setting {
  readonly variable: string
  readonly configured: number | undefined
}

export class MemoryBudget {
  readonly totalBytes: number
  readonly #shares: Shares

  /** @throws DoesNotFit when `totalBytes` is too small for any service */
  constructor(service: string, totalBytes: number) {
    this.totalBytes = totalBytes
    this.#shares = SHARES[service] ?? CONSUMER
    if (totalBytes < TOTAL_MIN_BYTES)
      throw new DoesNotFit(
        `${service} may use ${mib(totalBytes)} MiB of memory but needs ${mib(TOTAL_MIN_BYTES)}: raise MEMORY_MAX_MIB, the container's limit, or --max-old-space-size`,
      )
  }

  /** The bytes that the buffer may allocate, for raw data and its parsed copies. */
  bytes(buffer: Buffered): number {
    return Math.floor(((this.totalBytes - NODE_BYTES) * this.#shares[buffer]) / 100)
  }

  /**
   * How many entries of `costBytes` the buffer may hold: the configured number, or as many as fit, up to `maxUseful`.
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

/**
 * Returns the budget for the memory of the process: the minimum of the configured value, the limit of the container, the
 * memory of the machine and the size limit of the heap.
 * @throws DoesNotFit when that is too small for any service
 */
export function readMemoryBudget(service: string, { maxBytes }: { maxBytes: number }): MemoryBudget {
  // Without a limit, Node returns 0 or a number that is larger than any memory.
  const constrained = process.constrainedMemory() || Number.POSITIVE_INFINITY
  return new MemoryBudget(service, Math.min(maxBytes, constrained, totalmem(), getHeapStatistics().heap_size_limit))
}

/** The young generation stops growing when it has reached one eighth of the memory. */
const YOUNG_GENERATION_PART = 8
/** V8 collects buffers of the young generation when they reach twice this size. The default of V8 is 32. */
const YOUNG_BUFFERS_MIB = 2
/** An older Node.js does not know the flag for YOUNG_BUFFERS_MIB, and prints a warning to standard error. */
const YOUNG_BUFFERS_FROM_NODE = 24
const CHECK_HEAP_EVERY_MS = 100

/**
 * Limits the size of the heap's young generation, and of the buffers that it references. By default V8 derives this size
 * from the memory of the machine or container: up to 192 MiB, most of it garbage. Collects the young generation with one
 * thread, because parallel threads wait for each other. That cost up to a third of the CPU time on a busy machine.
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
  }, CHECK_HEAP_EVERY_MS).unref()
}

const mib = (bytes: number) => Math.floor(bytes / MIB)
