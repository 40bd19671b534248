// Writes one log line for each health check.
import { type Handler, idsOf, type Log } from '@ims/messaging'

/** Maximum length of the logged body, in characters. A health check may contain any JSON, of any size. */
const LOGGED_MAX = 200

/**
 * Handles health checks by logging them. The log lines are their only effect, so `flush` writes them before the messages are
 * acknowledged. A redelivered health check is logged again, with `redelivered: true`.
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
