// Fakes of consumer four: ours, which replies with pages, and the Python one, which replies with the whole list.
import {
  type Broker,
  containsText,
  type Delivery,
  LAST_PAGE,
  orderProcessing,
  pageRequestHeaders,
} from '@ims/messaging'
import type { InMemoryRabbitmq } from '@ims/messaging/testing'
import { consumerConfig } from './app-under-test.ts'

export interface Row {
  readonly id: number
  readonly sku: string
  readonly name: string
  readonly label: string
  readonly price: number
  readonly quantity: number
}

/** `count` rows with gaps in their ids, and non-ASCII text. */
export function rowsOf(count: number): Row[] {
  return Array.from({ length: count }, (_, at) => ({
    id: at * 3 + 2,
    sku: `sku-${at}`,
    name: `név "${at}" [x], 😀`,
    label: at % 2 === 0 ? 'even' : 'ünpaar',
    price: at + 0.25,
    quantity: at,
  }))
}

/** The members of a row that the client must get. */
export const shown = ({ sku, name, label, price, quantity }: Row) => ({ sku, name, label, price, quantity })

/** Replies as our consumer four does. Returns the headers and bodies of the requests that it has received. */
export async function ourConsumerFour(rabbitmq: InMemoryRabbitmq, rows: readonly Row[]) {
  const seen: Record<string, unknown>[] = []
  const bodies: unknown[] = []
  await rabbitmq.open().consume(
    orderProcessing,
    async (deliveries: readonly Delivery[]) =>
      deliveries.map(({ headers, body }) => {
        seen.push(headers)
        bodies.push(body)
        const {
          'x-after': after = 0,
          'x-limit': limit,
          'x-sku': sku,
          'x-label': label,
          'x-quantity-below': below,
          'x-q': q,
        } = pageRequestHeaders.parse(headers)
        const wanted = rows
          .filter(({ id }) => id > after)
          .filter((row) => (sku === undefined || row.sku === sku) && (label === undefined || row.label === label))
          .filter(({ quantity }) => below === undefined || quantity < below)
          .filter(({ sku, name, label }) => q === undefined || containsText(q, [sku, name, label]))
        const page = wanted.slice(0, limit)
        const next = page.length < wanted.length ? (page.at(-1)?.id ?? LAST_PAGE) : LAST_PAGE
        const replied = { 'x-next': next, 'x-count': page.length, ...(q === undefined ? {} : { 'x-q': q }) }
        return { kind: 'answered', body: Buffer.from(JSON.stringify(page.map(shown))), headers: replied }
      }),
    consumerConfig,
  )
  return { seen, bodies }
}

/** Replies to every request with the same bytes and headers. */
export async function repliesWith(
  rabbitmq: InMemoryRabbitmq,
  body: Buffer | string,
  headers: Record<string, number | string> = {},
) {
  await rabbitmq
    .open()
    .consume(
      orderProcessing,
      async (deliveries) => deliveries.map(() => ({ kind: 'answered', body: Buffer.from(body), headers })),
      consumerConfig,
    )
}

/** Replies as a Python consumer four does: without headers, with spaces and escapes, with members and rows in another order. */
export async function pythonConsumerFour(rabbitmq: InMemoryRabbitmq, rows: readonly Row[]) {
  const members = [...rows]
    .reverse()
    .map(({ id, sku, name, label, price, quantity }) => ({ quantity, id, label, sku, price, name }))
  await repliesWith(rabbitmq, JSON.stringify(members, null, 1).replaceAll('é', '\\u00e9'))
}

/** A requester that replies to each request with the next of `pages`. `before` gets the number of the request, from 1, and its headers. */
export function pagesInTurn(
  pages: readonly string[],
  before: (page: number, headers: Record<string, unknown>) => Promise<void> | void = () => {},
): Broker['requester'] {
  let requests = 0
  return {
    request: async (query, _body, { headers = {} }) => {
      requests += 1
      const json = pages[requests - 1] ?? '[]'
      const next = requests < pages.length ? requests : LAST_PAGE
      await before(requests, headers)
      return { body: () => query.reply.parse(JSON.parse(json)), raw: Buffer.from(json), headers: { 'x-next': next } }
    },
    command: () => Promise.reject(new Error('unexpected command')),
  }
}
