// Answers one listing before the first request arrives, because a process runs each function more slowly the first time.
import type { Handler } from '@ims/messaging'

/** The size of the first page that the producer requests for a whole list. A smaller page leaves more of the work to the first request. */
const PAGE_ITEMS = 1_000

/**
 * Calls the handler of order_processing once, for a page that nobody reads. V8 compiles the code, and mysql2 its parser of
 * these rows, while no client waits (docs/benchmarks.md). Never rejects: if MySQL is down, the first requests report it.
 */
export async function warmUp(list: Handler<unknown, never>): Promise<void> {
  const delivery = { body: [], messageId: undefined, redelivered: false, redrives: 0, fingerprint: '' }
  await list([{ ...delivery, headers: { 'x-after': 0, 'x-limit': PAGE_ITEMS } }]).catch(() => {})
}
