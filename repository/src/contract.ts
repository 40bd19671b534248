// The interface of the repository: the inventory, its commands, and their outcomes.

export interface NewItem {
  readonly sku: string
  readonly name: string
  readonly label: string
  readonly price: number
  readonly quantity: number
}

/** One row of the listing, with its members in this order. NULL where the Python suite stored NULL. */
export interface StockItem {
  readonly sku: string | null
  readonly name: string | null
  readonly label: string | null
  readonly price: number | null
  readonly quantity: number | null
}

/** A message to apply. Without `messageId` it came from a Python peer, and nothing is recorded about it. */
export interface Command<Body> {
  readonly messageId: string | undefined
  /** Hash of the raw body. The same id with another fingerprint is a different message. */
  readonly fingerprint: string
  /** How often it was redriven. It is handled anew each time, but applied at most once. */
  readonly redrives: number
  /** The message may have been applied before, because it was delivered or attempted again. */
  readonly redelivered: boolean
  readonly body: Body
}

/** Reasons for refusal that are recorded, so that a redelivery gets the same outcome. */
export const REFUSALS = ['duplicate-sku', 'rejected-by-database'] as const

export type CreateOutcome =
  | { kind: 'created'; repeated: boolean }
  | { kind: (typeof REFUSALS)[number] | 'message-id-reused'; error: string }

export type DeleteOutcome =
  | { kind: 'deleted' | 'unknown-sku'; repeated: boolean }
  | { kind: 'rejected-by-database' | 'message-id-reused'; error: string }

/** Reasons to refuse a change of stock. */
export const ADJUSTMENT_REFUSALS = [
  'unknown-sku',
  'insufficient-stock',
  'quantity-too-large',
  'no-quantity',
  'rejected-by-database',
] as const

export interface Adjustment {
  readonly sku: string
  /** Added to the quantity. Negative for outgoing stock. */
  readonly change: number
  readonly reason: string
  /** Who requested it, and with which HTTP request, where known. */
  readonly by?: string | undefined
  readonly requestId?: string | undefined
}

export type AdjustOutcome =
  /** `quantity` is the item's quantity after this change, even when it is reported again later. */
  | { kind: 'adjusted'; quantity: number; repeated: boolean }
  | { kind: (typeof ADJUSTMENT_REFUSALS)[number] | 'message-id-reused' | 'no-message-id'; error: string }

/** An applied change of stock. `at` is an ISO 8601 time in UTC. */
export interface Movement {
  readonly id: number
  readonly messageId: string
  readonly sku: string
  readonly change: number
  readonly quantityBefore: number
  readonly quantityAfter: number
  readonly reason: string
  readonly by: string | null
  readonly requestId: string | null
  readonly at: string
}

/** The recorded outcome of a message. `error` is the reason for a refusal, and null if it was applied. `at` is an ISO 8601 time in UTC. */
export interface RecordedVerdict {
  readonly queue: string
  /** How often the message had been redriven. */
  readonly redrives: number
  readonly outcome: string
  readonly error: string | null
  readonly at: string
}

/** `remembersSince` is the time of the oldest entry about any message, and null when there is none. */
export interface Recorded {
  readonly verdicts: readonly RecordedVerdict[]
  readonly remembersSince: string | null
}

export interface PageRequest {
  /** The id after which the page starts. 0 for the first page. */
  readonly after: number
  /** Maximum number of items. */
  readonly limit: number
  /** Only items with exactly this sku or label. */
  readonly sku?: string
  readonly label?: string
  /** Only items with a smaller quantity. Items without a quantity are excluded. */
  readonly quantityBelow?: number
  /**
   * Only items with this text in their sku, name or label, in any case and with or without accents. Such a page reads a
   * limited part of the table, so it can be short or empty although it is not the last.
   */
  readonly q?: string
}

export type MovementsRequest = Pick<PageRequest, 'after' | 'limit' | 'sku'>

export interface Inventory {
  /**
   * Stores items, each message once. Returns one outcome for each command, in order. Rejects with DatabaseError when
   * certainly nothing was applied.
   */
  create(commands: readonly Command<NewItem>[]): Promise<readonly CreateOutcome[]>
  /**
   * Deletes items by sku, each message once. Returns one outcome for each command, in order. Null means all items
   * without a sku, which only the Python suite could store. Rejects like `create`.
   */
  delete(commands: readonly Command<{ readonly sku: string | null }>[]): Promise<readonly DeleteOutcome[]>
  /**
   * Adds to quantities, each message once and in order. Returns one outcome for each command, in order, and stores a
   * movement for each applied change. Rejects like `create`.
   */
  adjust(commands: readonly Command<Adjustment>[]): Promise<readonly AdjustOutcome[]>
  /** Movements in the order of their id, selected by `page`. */
  movements(request: MovementsRequest): Promise<{ movements: Movement[]; next: number }>
  /** What is recorded about the messages with each of these ids, oldest first. */
  recorded(messageIds: readonly string[]): Promise<Recorded[]>
  /** Items in the order of their id. `next` is the `after` of the following page, 0 on the last. */
  page(request: PageRequest): Promise<{ items: StockItem[]; next: number }>
}
