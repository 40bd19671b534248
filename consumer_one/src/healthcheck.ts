// Writes one log line for each health check.
import { type Handler, idsOf, type Log } from '@ims/messaging'

/** Longest part of a body that is logged, in characters. A health check may contain any JSON, of any size. */
const LOGGED_MAX = 200

/**
 * Handles health checks by logging them. `flush` writes the lines: they are all that a health check leaves, so they must be written
 * before its ack. Nothing is stored, so a redelivered one is logged again and marked as such.
 */
export function logHealthchecks(log: Log, flush: () => void): Handler<unknown, { outcome: 'logged' }> {
  return async (deliveries) => {
    for (const delivery of deliveries) {
      const { body, redelivered } = delivery
      const text = JSON.stringify(body)
      const logged = text.length <= LOGGED_MAX ? body : text.slice(0, LOGGED_MAX)
      log.info({ ...idsOf(delivery), redelivered, body: logged }, 'health check received')
    }
    flush()
    return deliveries.map(() => ({ kind: 'applied', result: { outcome: 'logged' }, repeated: false }))
  }
}
