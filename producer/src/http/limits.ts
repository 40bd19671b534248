// The limits of the producer, derived from its memory.
import {
  COST_OF_CONNECTION_BYTES,
  COST_OF_HELD_BYTE,
  DoesNotFit,
  type MemoryBudget,
  memoryEnvironment,
  readMemoryBudget,
} from '@ims/runtime'
import type { HttpConfig } from '../config.ts'

/** Memory of a request in flight and its response, without their data. */
const COST_OF_REQUEST_BYTES = 12_288
/** Memory of a wait: the message, its timer, its promises. */
const COST_OF_WAIT_BYTES = 6_144

/** Memory per byte of a page: the page is copied when it arrives, then parsed, and V8 frees the copies late. */
const COST_OF_PAGE_BYTE = 6

/** `…MaxEach` is the limit for one client: half of what fits into memory, so that no client can use all of it. */
export interface Limits {
  readonly connectionsMax: number
  readonly connectionsMaxEach: number
  readonly heldMaxBytes: number
  readonly requestsMax: number
  readonly requestsMaxEach: number
  readonly waitsMax: number
  readonly waitsMaxEach: number
  /** Bytes of listing pages that are requested, or that clients have not received yet. */
  readonly pagesMaxBytes: number
}

/** @throws DoesNotFit when the configured limits need more memory than there is */
export function limitsOf(
  config: HttpConfig,
  memory: MemoryBudget = readMemoryBudget('producer', memoryEnvironment.parse({})),
): Limits {
  const connections = { variable: 'HTTP_CONNECTIONS_MOST', configured: config.configuredConnectionsMax }
  const requestsMax = Math.floor(memory.bytes('requestsInFlight') / COST_OF_REQUEST_BYTES)
  const connectionsFit = Math.floor(memory.bytes('connections') / COST_OF_CONNECTION_BYTES)
  const connectionsMax = memory.limit('connections', connections, { costBytes: COST_OF_CONNECTION_BYTES })
  const heldMaxBytes = Math.floor(memory.bytes('halfReadRequests') / COST_OF_HELD_BYTE)
  const waitsMax = Math.floor(memory.bytes('waits') / COST_OF_WAIT_BYTES)
  const oneMaxBytes = Math.floor(heldMaxBytes / 2) - config.headersMaxBytes
  if (config.bodyMaxBytes > oneMaxBytes)
    throw new DoesNotFit(
      `HTTP_BODY_MOST_BYTES=${config.bodyMaxBytes} does not fit into ${Math.floor(memory.totalBytes / 1_048_576)} MiB of memory: set at most ${Math.max(oneMaxBytes, 0)}, or raise MEMORY_MAX_MIB and the container's limit`,
    )
  return {
    connectionsMax,
    connectionsMaxEach: Math.min(connectionsMax, Math.ceil(connectionsFit / 2)),
    heldMaxBytes,
    requestsMax,
    requestsMaxEach: Math.ceil(requestsMax / 2),
    waitsMax,
    waitsMaxEach: Math.ceil(waitsMax / 2),
    pagesMaxBytes: Math.floor(memory.bytes('pages') / COST_OF_PAGE_BYTE),
  }
}
