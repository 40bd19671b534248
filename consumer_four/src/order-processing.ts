// Replies to requests for items, with one database query for all identical requests of a batch.
import {
  type Delivery,
  type Handler,
  LAST_PAGE,
  type Outcome,
  PAGE_MAX_ITEMS,
  pageRequestHeaders,
} from '@ims/messaging'
import type { Inventory, PageRequest } from '@ims/repository'

type Pages = Pick<Inventory, 'page'>

/**
 * Handles order_processing. A request with the header `x-limit` gets one page, `x-next` and `x-count`. A request without it
 * comes from a Python peer and gets the whole list in one reply, or a refusal if the list is larger than `maxBytes`.
 * Identical requests of one batch share a query, which starts after all of them have arrived, so no reply is older than its
 * request.
 */
export function listItems(inventory: Pages, { maxBytes }: { maxBytes: number }): Handler<unknown, never> {
  return async (deliveries) => {
    const answers = new Map<string, Promise<Outcome<never>>>()
    return await Promise.all(
      deliveries.map((delivery) => {
        const request = requestOf(delivery)
        if ('kind' in request) return request
        const key = JSON.stringify([request.limit, request.after, request.filter])
        const answer =
          answers.get(key) ??
          (request.limit === undefined
            ? wholeList(inventory, request, maxBytes)
            : page(inventory, { ...request, limit: request.limit }))
        answers.set(key, answer)
        return answer
      }),
    )
  }
}

const [OPENING, COMMA, CLOSING] = [Buffer.from('['), Buffer.from(','), Buffer.from(']')]

interface Request {
  readonly after: number
  readonly limit: number | undefined
  readonly filter: Omit<PageRequest, 'after' | 'limit'>
}

function requestOf({ headers }: Delivery): Request | Extract<Outcome, { kind: 'refused' }> {
  const { data, error } = pageRequestHeaders.safeParse(headers)
  if (error) {
    const problems = error.issues.map(({ path, message }) => `header ${path.join('.')}: ${message}`)
    return { kind: 'refused', reason: 'invalid', error: problems.join('; ') }
  }
  const {
    'x-after': after = 0,
    'x-limit': limit,
    'x-sku': sku,
    'x-label': label,
    'x-quantity-below': below,
    'x-q': q,
  } = data
  const filter = {
    ...(sku === undefined ? {} : { sku }),
    ...(label === undefined ? {} : { label }),
    ...(below === undefined ? {} : { quantityBelow: below }),
    ...(q === undefined ? {} : { q }),
  }
  return { after, limit, filter }
}

async function page(inventory: Pages, { after, limit, filter }: Request & { limit: number }): Promise<Outcome<never>> {
  const { items, next } = await inventory.page({ after, limit, ...filter })
  return {
    kind: 'answered',
    body: Buffer.from(JSON.stringify(items)),
    headers: { 'x-next': next, 'x-count': items.length, ...(filter.q === undefined ? {} : { 'x-q': filter.q }) },
  }
}

async function wholeList(inventory: Pages, { after, filter }: Request, maxBytes: number): Promise<Outcome<never>> {
  // Collects bytes, because text can take twice as much memory.
  const parts: Buffer[] = []
  let bytes = 2
  let from = after
  do {
    const { items, next } = await inventory.page({ after: from, limit: PAGE_MAX_ITEMS, ...filter })
    const json = Buffer.from(JSON.stringify(items))
    bytes += json.length - 1
    if (bytes > maxBytes) return tooLarge(maxBytes)
    if (items.length > 0) parts.push(parts.length === 0 ? OPENING : COMMA, json.subarray(1, -1))
    from = next
  } while (from !== LAST_PAGE)
  const body = Buffer.concat(parts.length === 0 ? [OPENING, CLOSING] : [...parts, CLOSING])
  return { kind: 'answered', body, headers: {} }
}

const tooLarge = (maxBytes: number): Outcome<never> => ({
  kind: 'refused',
  reason: 'too-large',
  error: `the whole list is larger than LISTING_MOST_BYTES (${maxBytes} bytes); request it in pages with the header x-limit, as the producer does`,
})
