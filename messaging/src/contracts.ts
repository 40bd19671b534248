// Read this first: every queue of the suite and the shape of what travels through it.
import { z } from 'zod'
import { command, query } from './contract.ts'

/** Counts characters as a reader does and as MySQL's utf8mb4 columns do: code points, not UTF-16 units. */
const codePoints = (text: string): number => {
  let count = 0
  for (const _ of text) count += 1
  return count
}

/** Text of 1 to `most` characters that survives every hop: well-formed Unicode without U+0000. */
const text = (most: number) =>
  z
    .string()
    .refine((value) => value.length > 0, 'must not be empty')
    // A string of `most` UTF-16 units or fewer cannot have more code points: only a longer one is counted.
    .refine((value) => value.length <= most || codePoints(value) <= most, `must have at most ${most} characters`)
    .refine((value) => value.isWellFormed(), 'must be well-formed Unicode (it has a lone surrogate)')
    .refine((value) => !value.includes('\u0000'), 'must not contain the character U+0000')

const PRICE_MOST = 99_999_999_999.9999
const QUANTITY_MOST = 2_147_483_647

/** A stock keeping unit: 1–20 characters, no white space around it, no control character within. */
export const sku = text(20)
  .refine((value) => value.trim() === value, 'must not begin or end with white space')
  .refine((value) => !/\p{Cc}/u.test(value), 'must not contain control characters')

/** An amount of money that DECIMAL(15,4) holds exactly. */
const price = z
  .number()
  .min(0)
  .max(PRICE_MOST)
  .refine((value) => Number(value.toFixed(4)) === value, 'must have at most 4 decimals')

/** What `POST /create_item` takes and what travels through the queue `create_item`. Other members are ignored. */
export const item = z.object({
  sku,
  name: text(100),
  label: text(50),
  price,
  quantity: z.int().min(0).max(QUANTITY_MOST),
})
export type Item = z.infer<typeof item>

/** One row of the listing. More tolerant than `item`: the Python suite stored NULLs and whatever else fitted. */
export const listedItem = z.object({
  sku: z.string().nullable(),
  name: z.string().nullable(),
  label: z.string().nullable(),
  price: z.number().nullable(),
  quantity: z.number().nullable(),
})
export type ListedItem = z.infer<typeof listedItem>

/** Any JSON value: the Python suite put its body to no use, so neither do we. */
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

/** `POST /stock_management` → consumer three, which deletes the item with this sku. */
export const stockManagement = command('stock_management', {
  body: z.object({ sku }),
  result: z.object({ outcome: z.enum(['deleted', 'unknown-sku']) }),
})

/**
 * `GET /order_processing` → consumer four, which replies with items in the order of their id.
 * The body sent is `["message","Order Processing"]`; a page is asked for with the headers of paging.ts.
 */
export const orderProcessing = query('order_processing', {
  body: anything,
  reply: z.array(listedItem),
})

export const contracts = [healthcheck, createItem, stockManagement, orderProcessing] as const
