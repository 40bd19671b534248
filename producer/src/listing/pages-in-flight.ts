// Limits the memory of listing pages: requested pages, and pages that clients are still receiving.
import { OutcomeUnknown } from '@ims/messaging'
import { Problem } from '../http/problem.ts'
import type { Page } from './pages.ts'

/** Maximum number of queries in flight or waiting: as many as consumer four can answer before the deadline. */
const QUERIES_MAX = 256
/** Maximum number of items in those queries, because each item takes time in consumer four and in this process. */
const ITEMS_MAX = 500_000
/** The part of the free memory that one page of a whole list may use, so that several lists fit at the same time. */
const PART_FOR_PAGE = 1 / 8
/** The assumed size of an item until pages have arrived. */
const ITEM_BYTES = 200

interface Turn {
  readonly bytes: number
  begin(): void
}

export class PagesInFlight {
  readonly #maxBytes: number
  /** Pages that wait for memory, in the order of arrival. */
  readonly #waiting = new Set<Turn>()
  /** Pages that clients have not fully received, and the number of clients that receive each page. */
  readonly #held = new Map<Page, number>()
  #heldBytes = 0
  #askedBytes = 0
  #queries = 0
  #items = 0
  #itemBytes = ITEM_BYTES

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Whether one more listing can start. If not, refusing it at once keeps the others fast. */
  hasRoomFor(items: number): boolean {
    return this.#queries < QUERIES_MAX && this.#items + items <= ITEMS_MAX && this.#heldBytes <= this.#maxBytes
  }

  /** The maximum number of items of one page, so that other pages still fit. */
  get itemsFitting(): number {
    const free = this.#maxBytes - this.#askedBytes - this.#heldBytes
    return Math.max(0, Math.floor((free * PART_FOR_PAGE) / this.#itemBytes))
  }

  /**
   * Waits until the page fits into the memory, then calls `ask` with the remaining milliseconds.
   * @throws OutcomeUnknown when `left` aborts first, Problem 503 when the page does not fit in time, and any error of `ask`
   */
  async ask(
    { items, deadlineMs, left }: { items: number; deadlineMs: number; left: AbortSignal },
    ask: (deadlineMs: number) => Promise<Page>,
  ): Promise<Page> {
    const since = performance.now()
    const bytes = Math.ceil(items * this.#itemBytes)
    this.#queries += 1
    this.#items += items
    try {
      await this.#turn(bytes, deadlineMs, left)
      try {
        const page = await ask(Math.max(1, deadlineMs - (performance.now() - since)))
        if (page.count > 0) this.#itemBytes = (this.#itemBytes + page.json.length / page.count) / 2
        return page
      } finally {
        this.#askedBytes -= bytes
      }
    } finally {
      this.#queries -= 1
      this.#items -= items
      // The next page starts later, so that the caller can call `hold` for this one first.
      if (this.#waiting.size > 0) setImmediate(() => this.#next())
    }
  }

  /** Counts the memory of the page until `drop` has been called as often as `hold`. */
  hold(page: Page): void {
    const holders = this.#held.get(page) ?? 0
    this.#held.set(page, holders + 1)
    if (holders === 0) this.#heldBytes += page.json.length
  }

  drop(page: Page): void {
    const holders = this.#held.get(page) ?? 0
    if (holders > 1) this.#held.set(page, holders - 1)
    else if (this.#held.delete(page)) this.#heldBytes -= page.json.length
    this.#next()
  }

  #turn(bytes: number, deadlineMs: number, left: AbortSignal): Promise<void> | undefined {
    if (this.#waiting.size === 0 && this.#fits(bytes) && !left.aborted) {
      this.#askedBytes += bytes
      return undefined
    }
    return new Promise((resolve, reject) => {
      const end = () => {
        clearTimeout(timer)
        left.removeEventListener('abort', gone)
        this.#waiting.delete(turn)
      }
      const timer = setTimeout(() => {
        end()
        reject(overLimit())
      }, deadlineMs)
      const gone = () => {
        end()
        reject(new OutcomeUnknown('every client that waited for the page has disconnected'))
      }
      const turn: Turn = {
        bytes,
        begin: () => {
          end()
          this.#askedBytes += bytes
          resolve()
        },
      }
      this.#waiting.add(turn)
      left.addEventListener('abort', gone)
      if (left.aborted) gone()
      this.#next()
    })
  }

  /** A page of any size fits if there is no other. */
  #fits(bytes: number): boolean {
    const taken = this.#askedBytes + this.#heldBytes
    return taken === 0 || taken + bytes <= this.#maxBytes
  }

  /** Starts waiting pages in the order of arrival, while they fit. */
  #next(): void {
    for (const turn of this.#waiting) {
      if (!this.#fits(turn.bytes)) return
      turn.begin()
    }
  }
}

/** The problem for a listing that was not requested, because there are too many. */
export function overLimit(): Problem {
  const detail = 'Too many lists are in flight. This one was not requested. Sending the request again is safe.'
  return new Problem(503, 'not-accepted', detail, { headers: { 'Retry-After': '2' }, reason: 'over-limit' })
}
