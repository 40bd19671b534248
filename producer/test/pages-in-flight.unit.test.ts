// Pages in flight: pages that fit into memory are requested, others wait for memory, and there is a limit of 256 requests.
import { describe, expect, it } from '@jest/globals'
import type { Page } from '../src/listing/pages.ts'
import { PagesInFlight } from '../src/listing/pages-in-flight.ts'
import { until } from './until.ts'

const pageOf = (bytes: number): Page => ({ json: Buffer.alloc(bytes), count: 1, next: 0 })
const stays = new AbortController().signal

function asking(maxBytes: number) {
  const pages = new PagesInFlight(maxBytes)
  const asked: string[] = []
  const replies = new Map<string, (page: Page) => void>()
  /** Each item is assumed to have 200 bytes. */
  const ask = (name: string, items: number, { left = stays, deadlineMs = 60_000 } = {}) =>
    pages.ask({ items, deadlineMs, left }, () => {
      asked.push(name)
      return new Promise<Page>((resolve) => replies.set(name, resolve))
    })
  const reply = (name: string, page: Page) => replies.get(name)?.(page)
  return { pages, asked, ask, reply }
}

describe('pages in flight', () => {
  it('are requested in order of arrival when they fit into memory, and a page of any size is requested if it is the only one', async () => {
    const { asked, ask, reply } = asking(1_000)
    const all = [ask('huge', 50), ask('a', 2), ask('b', 2), ask('c', 2)]
    await until(() => asked.length > 0)
    expect(asked).toEqual(['huge'])
    reply('huge', pageOf(200))
    await until(() => asked.length === 3)
    expect(asked).toEqual(['huge', 'a', 'b'])
    reply('b', pageOf(200))
    await until(() => asked.length === 4)
    for (const name of ['a', 'c']) reply(name, pageOf(200))
    await Promise.all(all)
  })

  it('count once for all clients that receive them, and free their memory after the last one', async () => {
    const { pages, asked, ask, reply } = asking(1_000)
    const page = pageOf(900)
    pages.hold(page)
    pages.hold(page)
    const asks = ask('a', 2)
    pages.drop(page)
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(asked).toEqual([])
    expect(pages.hasRoomFor(1)).toBe(true)
    pages.hold(pageOf(200))
    expect(pages.hasRoomFor(1)).toBe(false)
    pages.drop(page)
    await until(() => asked.length === 1)
    reply('a', pageOf(1))
    await asks
  })

  it('have at most as many items as fit into an eighth of the free memory', async () => {
    const { pages, ask, reply, asked } = asking(16_000)
    expect(pages.itemsFitting).toBe(10)
    pages.hold(pageOf(8_000))
    expect(pages.itemsFitting).toBe(5)
    const asks = ask('a', 24)
    await until(() => asked.length === 1)
    expect(pages.itemsFitting).toBe(2)
    pages.hold(pageOf(8_000))
    expect(pages.itemsFitting).toBe(0)
    reply('a', pageOf(200))
    await asks
  })

  it('are dropped when the client disconnects while they wait, and rejected with 503 at their deadline', async () => {
    const { pages, asked, ask, reply } = asking(100)
    const first = ask('first', 10)
    const left = new AbortController()
    const gone = ask('gone', 10, { left: left.signal })
    const late = ask('late', 10, { deadlineMs: 50 })
    left.abort()
    await expect(gone).rejects.toMatchObject({ name: 'OutcomeUnknown' })
    await expect(late).rejects.toMatchObject({ status: 503, headers: { 'Retry-After': '2' } })
    reply('first', pageOf(1))
    await first
    expect(asked).toEqual(['first'])
    expect(pages.hasRoomFor(500_000)).toBe(true)
  })

  it('are limited to 256 requests', async () => {
    const { pages, asked, ask, reply } = asking(100)
    const left = new AbortController()
    const all = Array.from({ length: 256 }, (_, n) => ask(String(n), 1, { left: left.signal }).catch(() => {}))
    expect(pages.hasRoomFor(1)).toBe(false)
    await until(() => asked.length === 1)
    left.abort()
    reply('0', pageOf(1))
    await Promise.all(all)
    expect(pages.hasRoomFor(1)).toBe(true)
  })
})
