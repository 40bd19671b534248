// The query parameters of GET /order_processing and GET /movements: filters, and the requested part of the list.
import { heldLabel, heldSku, PAGE_MAX_ITEMS, soughtText } from '@ims/messaging'
import { z } from 'zod'
import { Problem } from '../http/problem.ts'

const whole = z
  .string()
  .regex(/^\d{1,16}$/, 'must be a whole number')
  .transform(Number)

/** Other parameters are ignored, as in the Python suite. */
const parameters = z.object({
  sku: heldSku.optional(),
  label: heldLabel.optional(),
  quantity_below: whole.pipe(z.int().min(0)).optional(),
  q: soughtText.optional(),
  limit: whole.pipe(z.int().min(1).max(PAGE_MAX_ITEMS)).optional(),
  after: whole.pipe(z.int().min(0)).optional(),
})

/** The requested items: those that match every given filter and have an id above `after`. `limit` requests one page of them. */
export interface Wanted {
  readonly sku: string | undefined
  readonly label: string | undefined
  readonly quantityBelow: number | undefined
  readonly q: string | undefined
  readonly after: number
  readonly limit: number | undefined
}

/**
 * Reads the parameters from a parsed query string.
 * @throws Problem 400 that names every invalid or repeated parameter
 */
export function wantedBy(query: unknown): Wanted {
  const { sku, label, quantity_below: quantityBelow, q, after = 0, limit } = read(parameters, query)
  return { sku, label, quantityBelow, q, after, limit }
}

function read<Parameters>(schema: z.ZodType<Parameters>, query: unknown): Parameters {
  const { data, error } = schema.safeParse(query, { error: oneOfEach })
  if (error === undefined) return data
  const errors = error.issues.map(({ path, message }) => ({ path: path.join('.'), message }))
  const named = [...new Set(errors.map(({ path }) => path))].join(', ')
  throw new Problem(400, 'invalid-query', `Not valid: ${named}.`, { errors })
}

/** Default page size of movements. */
const MOVEMENTS_LIMIT = 100

const ofMovements = parameters.pick({ sku: true, after: true, limit: true })

/** Reads the parameters of GET /movements, which always returns one page. */
export function movementsWantedBy(query: unknown): { sku: string | undefined; after: number; limit: number } {
  const { sku, after = 0, limit = MOVEMENTS_LIMIT } = read(ofMovements, query)
  return { sku, after, limit }
}

const oneOfEach: z.core.$ZodErrorMap = ({ code, input }) =>
  code === 'invalid_type' && Array.isArray(input) ? 'must be given once' : undefined

/** The URL of the page that starts after the id `next`. Keeps all other parameters of `url`. */
export function nextPageUrl(url: string, next: number): string {
  const at = url.indexOf('?')
  const [path, query] = at < 0 ? [url, ''] : [url.slice(0, at), url.slice(at + 1)]
  const kept = new URLSearchParams(query)
  kept.set('after', String(next))
  return `${path}?${kept}`
}
