// Streams pages as one JSON array. Requests the next page while the client receives the current one.
import type { ServerResponse } from 'node:http'
import { LAST_PAGE } from '@ims/messaging'
import type { Page } from './pages.ts'

const [OPENING, CLOSING] = Buffer.from('[]')

/** Maximum size of a page, as a multiple of the first page. */
const GROWTH_MAX = 5

/**
 * Writes `first` and every page after it, then ends the response. At most two pages are in memory. `ask` gets the id
 * after which the page starts, and its maximum size as a multiple of the first page. The size grows while the client
 * waits for pages, because each page takes two hops through the broker. It shrinks while pages wait for the client.
 * `taken` is called with each page that the client has received. Returns early when the client has disconnected. The
 * headers of the response must be set before the call.
 * @throws the error of `ask`. The response has then started, has not ended, and must be aborted
 */
export async function streamPages(
  response: ServerResponse,
  first: Page,
  ask: (after: number, growth: number) => Promise<Page>,
  taken: (page: Page) => void = () => {},
): Promise<void> {
  let separator = '['
  let growth = 2
  for (let page = first; ; ) {
    const following = page.next === LAST_PAGE ? undefined : ask(page.next, growth)
    let hasArrived = false
    // Ignores a rejection here, because the promise is also awaited below, when the client has received the current page.
    following?.then(
      () => {
        hasArrived = true
      },
      () => {},
    )
    if (page.count > 0) {
      response.cork()
      response.write(separator)
      const flowing = response.write(withoutBrackets(page.json))
      response.uncork()
      separator = ','
      if (!flowing) await drained(response)
    }
    taken(page)
    if (response.destroyed) return
    if (following === undefined) break
    growth = hasArrived ? Math.max(1, growth / 2) : Math.min(GROWTH_MAX, growth * 2)
    page = await following
  }
  response.end(separator === '[' ? '[]' : ']')
}

/** The page is a JSON array, so the first and the last bracket are those of the array. */
const withoutBrackets = (json: Buffer): Buffer =>
  json.subarray(json.indexOf(OPENING ?? 0) + 1, json.lastIndexOf(CLOSING ?? 0))

/** Resolves when the client has received the written data, or has disconnected. The server disconnects a client that reads nothing. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    if (response.destroyed || !response.writableNeedDrain) return resolve()
    const done = () => {
      response.off('drain', done)
      response.off('close', done)
      resolve()
    }
    response.on('drain', done)
    response.on('close', done)
  })
}
