// The environment variables of consumer four: the maximum size of an unpaged listing, and the low-stock threshold.
import { whole } from '@ims/runtime/variables'
import { z } from 'zod'

export const listingEnvironment = z
  .object({
    LISTING_MOST_BYTES: whole(1_000, 134_217_728)
      .default(16_777_216)
      .describe('maximum size of a reply to a Python peer, which needs the whole list in one message, in bytes'),
    LOW_STOCK_BELOW: whole(0, 2_147_483_647)
      .default(0)
      .describe(
        'items with a smaller quantity have low stock; they are counted every minute for the metric `ims_inventory_low_stock_items` and the alert LowStock (0: not counted)',
      ),
  })
  .transform((v) => ({ maxBytes: v.LISTING_MOST_BYTES, lowStockBelow: v.LOW_STOCK_BELOW }))
