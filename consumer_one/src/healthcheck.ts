// What consumer one does: a line in the log for each health check.
import type { Handler, Log } from '@ims/messaging'

/** Longest part of a body that is logged, in characters: a health check may carry any JSON, of any size. */
const LOGGED_MOST = 200

/** Handles health checks by logging them. Nothing is stored, so one that is delivered again is logged again, and says so. */
export function logHealthchecks(log: Log): Handler<unknown, { outcome: 'logged' }> {
  return async (deliveries) =>
    deliveries.map(({ body, messageId, redelivered }) => {
      const text = JSON.stringify(body)
      const logged = text.length <= LOGGED_MOST ? body : text.slice(0, LOGGED_MOST)
      log.info({ messageId, redelivered, body: logged }, 'health check received')
      return { kind: 'applied', result: { outcome: 'logged' }, repeated: false }
    })
}
