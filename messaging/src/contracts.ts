// Read this first: every queue of the suite and the schema of its messages.
import { z } from 'zod'
import { command, query } from './contract.ts'
import { toPrice, toWhole } from './decimal.ts'
import { pageRequestHeaders } from './paging.ts'

/** Counts code points, not UTF-16 units, as MySQL's utf8mb4 columns do. */
const codePoints = (text: string): number => {
  let count = 0
  for (const _ of text) count += 1
  return count
}

interface Rule {
  readonly holds: (value: string) => boolean
  readonly otherwise: string
}

/** A string that follows `rules`. They run in one zod check, because zod allocates memory for each check of each message. */
const text = (rules: readonly Rule[]) =>
  z.string().check(({ value, issues }) => {
    for (const { holds, otherwise } of rules)
      if (!holds(value)) issues.push({ code: 'custom', input: value, message: otherwise, continue: true })
  })

/** The rules for a string of up to `max` characters. They accept every value of a VARCHAR(`max`), so that a request can name any existing row. */
const held = (max: number): Rule[] => [
  // A string has at most as many code points as UTF-16 units, so only a longer string is counted.
  {
    holds: (value) => value.length <= max || codePoints(value) <= max,
    otherwise: `must have at most ${max} characters`,
  },
  { holds: (value) => value.isWellFormed(), otherwise: 'must be well-formed Unicode (it has a lone surrogate)' },
]

/** The rules for a new string: those of `held`, not empty, and without U+0000, which ends a string in C. */
const fresh = (max: number): Rule[] => [
  ...held(max),
  { holds: (value) => value.length > 0, otherwise: 'must not be empty' },
  { holds: (value) => !value.includes('\u0000'), otherwise: 'must not contain the character U+0000' },
]

const SKU_MAX = 20
const LABEL_MAX = 50
const REASON_MAX = 100
const SOUGHT_MAX = 100
const PRICE_MAX = 99_999_999_999.9999
const QUANTITY_MAX = 2_147_483_647

/**
 * The sku or label of an existing row. The Python suite also stored values that a new item cannot have: "", control
 * characters, white space at the ends.
 */
export const heldSku = text(held(SKU_MAX))
export const heldLabel = text(held(LABEL_MAX))

/** A string to search for in sku, name and label: 1–100 characters. */
export const soughtText = text(fresh(SOUGHT_MAX))

/** The stock keeping unit of a new item: 1–20 characters, no white space at either end, no control characters. */
const sku = text([
  ...fresh(SKU_MAX),
  { holds: (value) => value.trim() === value, otherwise: 'must not begin or end with white space' },
  { holds: (value) => !/\p{Cc}/u.test(value), otherwise: 'must not contain control characters' },
])

/** A number from 0 to `max`, or a string with such a decimal number. `read` converts it for its column. */
const number = (read: (value: unknown) => number | undefined, max: number) =>
  z.transform((input: unknown, context): number => {
    const value = read(input)
    if (value !== undefined && value >= 0 && value <= max) return value
    const problem = input === undefined ? {} : { message: faultOf(value, max) }
    context.issues.push({ code: 'invalid_type', expected: 'number', input, ...problem })
    return z.NEVER
  })

function faultOf(value: number | undefined, max: number): string {
  if (value === undefined) return 'must be a number, or a decimal number in a string'
  if (Number.isNaN(value)) return 'must be a whole number'
  return value < 0 ? 'must not be negative' : `must be at most ${max}`
}

/** The body of `POST /create_item` and of messages on the queue `create_item`. Other members are ignored. */
export const item = z.object({
  sku,
  name: text(fresh(100)),
  label: text(fresh(LABEL_MAX)),
  /** An amount of money, rounded to 4 decimals, which DECIMAL(15,4) represents exactly. */
  price: number(toPrice, PRICE_MAX),
  quantity: number(toWhole, QUANTITY_MAX),
})
export type Item = z.infer<typeof item>

/** One row of the listing. It accepts more than `item`, because the Python suite stored NULLs and any value that fits its column. */
export const listedItem = z.object({
  sku: z.string().nullable(),
  name: z.string().nullable(),
  label: z.string().nullable(),
  price: z.number().nullable(),
  quantity: z.number().nullable(),
})
export type ListedItem = z.infer<typeof listedItem>

/** Any JSON value. The body is not validated, as in the Python suite. */
const anything = z.unknown()

/** `GET /healthcheck` → consumer one, which logs it. The body sent is `["message","Healthcheck"]`. */
export const healthcheck = command('healthcheck', {
  body: anything,
  result: z.object({ outcome: z.literal('logged') }),
})

/** `POST /create_item` → consumer two, which stores the item. */
export const createItem = command('create_item', {
  body: item,
  result: z.object({ outcome: z.literal('created') }),
})

/** `POST /stock_management` → consumer three, which deletes the item with this sku; `null` deletes all items without a sku. */
export const stockManagement = command('stock_management', {
  body: z.object({ sku: heldSku.nullable() }),
  result: z.object({ outcome: z.enum(['deleted', 'unknown-sku']) }),
})

/**
 * `GET /order_processing` → consumer four, which replies with items in the order of their id.
 * The body sent is `["message","Order Processing"]`. The headers in paging.ts request a page.
 */
export const orderProcessing = query('order_processing', {
  body: anything,
  reply: z.array(listedItem),
  headers: pageRequestHeaders,
  // The whole list may need as much memory as the whole budget for pages.
  isLarge: (headers) => headers['x-limit'] === undefined,
})

/**
 * `POST /stock_adjustment` → consumer three, which adds `change` to the quantity of the item. It refuses a change to below 0
 * or above the column's maximum. The message needs an id, because only the id identifies a duplicate.
 */
export const stockAdjustment = command('stock_adjustment', {
  body: z.object({
    sku: heldSku,
    change: z
      .int()
      .min(-QUANTITY_MAX)
      .max(QUANTITY_MAX)
      .refine((change) => change !== 0, 'must not be 0'),
    reason: text(fresh(REASON_MAX)),
  }),
  result: z.object({ outcome: z.literal('adjusted'), quantity: z.int() }),
})
export type StockAdjustment = z.infer<(typeof stockAdjustment)['body']>

/** One applied change of stock. `by` is the name of the API key, `requestId` the id of the HTTP request. Both are null if unknown. */
export const movement = z.object({
  id: z.int(),
  messageId: z.string(),
  sku: z.string(),
  change: z.int(),
  quantityBefore: z.int(),
  quantityAfter: z.int(),
  reason: z.string(),
  by: z.string().nullable(),
  requestId: z.string().nullable(),
  at: z.string(),
})
export type Movement = z.infer<typeof movement>

/**
 * `GET /movements` → consumer four, which replies with stock movements in the order of their id. The headers in
 * paging.ts request a page. The only filter is `x-sku`.
 */
export const movements = query('movements', {
  body: anything,
  reply: z.array(movement),
  headers: pageRequestHeaders,
})

/** The recorded outcome of a message. `error` is the reason for a refusal, and null if it was applied. `at` is an ISO 8601 time in UTC. */
export const recordedVerdict = z.object({
  queue: z.string(),
  /** How often the message had been redriven before this outcome. */
  redrives: z.int(),
  outcome: z.string(),
  error: z.string().nullable(),
  at: z.string(),
})
export type RecordedVerdict = z.infer<typeof recordedVerdict>

export const messageQuestion = z.object({ id: z.string().min(1).max(255) })

/**
 * `GET /messages/{id}` → consumer four, which replies with the inbox entries for this id, oldest first.
 * `remembersSince` is the time of the oldest entry in the inbox. Older outcomes may have been deleted.
 */
export const messageStatus = query('message_status', {
  body: messageQuestion,
  reply: z.object({ verdicts: z.array(recordedVerdict), remembersSince: z.string().nullable() }),
  // Each request reads 63 keys of the inbox (3 queues, 0 to 20 redrives), so the number of requests per call is limited.
  togetherMax: 20,
})

/** The queues of the Python suite. The producer waits for consumers of these only, because Python consumers serve no others. */
export const seedContracts = [healthcheck, createItem, stockManagement, orderProcessing] as const

export const contracts = [...seedContracts, stockAdjustment, movements, messageStatus] as const
