// The environment variables of consumer four: how large a whole listing may grow.
import { z } from 'zod'

export const listingEnvironment = z
  .object({
    LISTING_MOST_BYTES: z
      .string()
      .regex(/^\d+$/, 'must be a whole number')
      .transform(Number)
      .pipe(z.int().min(1_000).max(134_217_728))
      .default(16_777_216)
      .describe('largest reply to a Python peer, which wants the whole list in one message, in bytes'),
  })
  .transform((v) => ({ mostBytes: v.LISTING_MOST_BYTES }))
