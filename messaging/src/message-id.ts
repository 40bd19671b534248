// Ids of messages: UUIDv7 (RFC 9562), with random bytes drawn many at a time, because drawing costs more than all else.
import { randomFillSync } from 'node:crypto'
import { v7 } from 'uuid'

const RANDOM_BYTES = 16
const pool = Buffer.alloc(4_096)
let used = pool.length
const state = { msecs: 0, seq: 0 }

/** A new id. Ids of one process sort in the order of their creation. */
export function newMessageId(): string {
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  const random = pool.subarray(used, used + RANDOM_BYTES)
  used += RANDOM_BYTES
  const now = Date.now()
  if (now > state.msecs) {
    state.msecs = now
    // 31 bits, which leaves room to count up within the millisecond.
    state.seq = random.readUInt32BE(RANDOM_BYTES - 4) >>> 1
  } else {
    state.seq = (state.seq + 1) >>> 0
    if (state.seq === 0) state.msecs += 1
  }
  return v7({ random, msecs: state.msecs, seq: state.seq })
}
