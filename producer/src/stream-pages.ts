// Streams pages as one JSON array: asks for the next page while writing this one, and not while the client is slow.
import type { ServerResponse } from 'node:http'
import { LAST_PAGE } from '@ims/messaging'
import type { Page } from './pages.ts'

const [OPENING, CLOSING] = Buffer.from('[]')

/**
 * Writes `first` and every page after it, then ends the response. At most two pages are held at once; `taken` is called with
 * each that the client has taken. Returns early when the client is gone. The response must carry its headers already.
 * @throws what `ask` rejects with: the response is then begun but not ended, and must be cut off
 */
export async function streamPages(
  response: ServerResponse,
  first: Page,
  ask: (after: number) => Promise<Page>,
  taken: (page: Page) => void = () => {},
): Promise<void> {
  let separator = '['
  for (let page = first; ; ) {
    const following = page.next === LAST_PAGE ? undefined : ask(page.next)
    following?.catch(() => {}) // awaited below, but only once the client has taken this page
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
    page = await following
  }
  response.end(separator === '[' ? '[]' : ']')
}

/** The page was parsed, so it is an array: its brackets are the first and the last there are. */
const withoutBrackets = (json: Buffer): Buffer =>
  json.subarray(json.indexOf(OPENING ?? 0) + 1, json.lastIndexOf(CLOSING ?? 0))

/** Resolves when the client has taken what was written, or is gone: the server cuts off one that takes nothing. */
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
