// Streams pages as one JSON array. Requests the next page while writing this one, but not while the client is slow.
import type { ServerResponse } from 'node:http'
import { LAST_PAGE } from '@ims/messaging'
import type { Page } from './pages.ts'

const [OPENING, CLOSING] = Buffer.from('[]')

/** A page has at most this many times the items of the first one. */
const GROWTH_MAX = 5

/**
 * Writes `first` and every page after it, then ends the response. At most two pages are held at once. `ask` gets the id
 * after which the page starts, and how many times larger than the first one it may be: more and more while the client
 * waits for pages, because each costs two hops through the broker, and less while pages wait for the client. `taken` is
 * called with each page that the client has received. Returns early when the client has disconnected. The response must have
 * its headers already.
 * @throws what `ask` rejects with: the response is then started but not ended, and must be aborted
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
    let isThere = false
    // Awaited below, but only once the client has received this page.
    following?.then(
      () => {
        isThere = true
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
    growth = isThere ? Math.max(1, growth / 2) : Math.min(GROWTH_MAX, growth * 2)
    page = await following
  }
  response.end(separator === '[' ? '[]' : ']')
}

/** The page was parsed as an array, so the brackets are its first and last ones. */
const withoutBrackets = (json: Buffer): Buffer =>
  json.subarray(json.indexOf(OPENING ?? 0) + 1, json.lastIndexOf(CLOSING ?? 0))

/** Resolves when the client has received what was written, or has disconnected. The server disconnects one that reads nothing. */
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
