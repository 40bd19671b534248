// Message ids: a new UUIDv7 (RFC 9562), or an id derived from strings. Random bytes are generated in bulk, because generating them is slow.
import { hash, randomFillSync } from 'node:crypto'
import { v7 } from 'uuid'

const RANDOM_BYTES = 16
const pool = Buffer.alloc(4_096)
let used = pool.length
/** Reused for each id. */
const random = Buffer.alloc(RANDOM_BYTES)
const id = Buffer.alloc(RANDOM_BYTES)
const state = { msecs: 0, seq: 0 }

/** A new id. Ids of one process sort in the order of their creation. */
export function newMessageId(): string {
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  pool.copy(random, 0, used, used + RANDOM_BYTES)
  used += RANDOM_BYTES
  const now = Date.now()
  if (now > state.msecs) {
    state.msecs = now
    // 31 bits, so that the sequence can count up within the same millisecond.
    state.seq = random.readUInt32BE(RANDOM_BYTES - 4) >>> 1
  } else {
    state.seq = (state.seq + 1) >>> 0
    if (state.seq === 0) state.msecs += 1
  }
  // The library's own text output joins sixteen strings, which is slower.
  return dashed(v7({ random, msecs: state.msecs, seq: state.seq }, id).toString('hex'))
}

const dashed = (hex: string): string =>
  `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`

/** The id for `parts`, the same in every process: a UUIDv8 from a SHA-256 hash (RFC 9562, appendix B.2), without a timestamp. */
export function derivedMessageId(...parts: readonly string[]): string {
  const hex = hash('sha256', JSON.stringify(parts), 'hex')
  const variant = (0x8 | (Number.parseInt(hex.slice(16, 17), 16) & 0x3)).toString(16)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}
