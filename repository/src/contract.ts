// The interface of the repository: the inventory, its commands, and their outcomes.

export interface NewItem {
  readonly sku: string
  readonly name: string
  readonly label: string
  readonly price: number
  readonly quantity: number
}

/** One item of the listing, with its members in this order. Null where the Python suite stored NULL. */
export interface StockItem {
  readonly sku: string | null
  readonly name: string | null
  readonly label: string | null
  readonly price: number | null
  readonly quantity: number | null
}

/** A message to apply. A message from a Python peer has no `messageId`, and its outcome is not recorded. */
export interface Command<Body> {
  readonly messageId: string | undefined
  /** Hash of the raw body. The same id with another fingerprint is a different message. */
  readonly fingerprint: string
  /** The number of redrives. Each redrive processes the message again, but it is applied at most once. */
  readonly redrives: number
  /** The message may have been applied before, because it was redelivered or retried. */
  readonly redelivered: boolean
  readonly body: Body
}

/** Reasons to refuse an item that are recorded, so that a redelivery gets the same outcome. */
export const REFUSALS = ['duplicate-sku', 'rejected-by-database'] as const

export type CreateOutcome =
  | { kind: 'created'; repeated: boolean }
  | { kind: (typeof REFUSALS)[number] | 'message-id-reused'; error: string }

export type DeleteOutcome =
  | { kind: 'deleted' | 'unknown-sku'; repeated: boolean }
  | { kind: 'rejected-by-database' | 'message-id-reused'; error: string }

/** Reasons to refuse a change of stock that are recorded, like REFUSALS. */
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
  /** The client (the name of its API key) and the id of the HTTP request, if known. */
  readonly by?: string | undefined
  readonly requestId?: string | undefined
}

export type AdjustOutcome =
  /** `quantity` is the item's quantity after this change. A repeated outcome has the same value. */
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
  /** The number of redrives before this outcome. */
  readonly redrives: number
  readonly outcome: string
  readonly error: string | null
  readonly at: string
}

/** `remembersSince` is the time of the oldest entry in the inbox, of any message. Null when the inbox is empty. */
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
   * Only items whose sku, name or label contains this text. Case and accents are ignored. A search reads a limited part
   * of the table for each page, so a page can be short or empty although more pages follow.
   */
  readonly q?: string
}

export type MovementsRequest = Pick<PageRequest, 'after' | 'limit' | 'sku'>

export interface Inventory {
  /**
   * Stores items. Applies each message only once. Returns one outcome for each command, in order. Rejects with
   * DatabaseError. If only the response to the COMMIT was lost, the items are stored anyway: call `create` again with the
   * same commands.
   */
  create(commands: readonly Command<NewItem>[]): Promise<readonly CreateOutcome[]>
  /**
   * Deletes items by sku. Applies each message only once. Returns one outcome for each command, in order. A null sku means
   * all items without a sku, which only the Python suite could store. Rejects like `create`.
   */
  delete(commands: readonly Command<{ readonly sku: string | null }>[]): Promise<readonly DeleteOutcome[]>
  /**
   * Adds to quantities. Applies each message only once, and the messages in order. Returns one outcome for each command, in
   * order, and stores a movement for each applied change. Rejects like `create`.
   */
  adjust(commands: readonly Command<Adjustment>[]): Promise<readonly AdjustOutcome[]>
  /** Returns one page of movements in id order. `next` works as in `page`. */
  movements(request: MovementsRequest): Promise<{ movements: Movement[]; next: number }>
  /** Returns what is recorded about each of these messages, in the same order. The outcomes of one message are sorted by time, oldest first. */
  recorded(messageIds: readonly string[]): Promise<Recorded[]>
  /** Returns one page of items in id order. `next` is the `after` of the next page, or 0 on the last page. */
  page(request: PageRequest): Promise<{ items: StockItem[]; next: number }>
}
