// What the repository promises its callers: the inventory, the commands it takes, the outcomes it tells.

export interface NewItem {
  readonly sku: string
  readonly name: string
  readonly label: string
  readonly price: number
  readonly quantity: number
}

/** One row of the listing, its members in this order. NULL where the Python suite stored NULL. */
export interface StockItem {
  readonly sku: string | null
  readonly name: string | null
  readonly label: string | null
  readonly price: number | null
  readonly quantity: number | null
}

/** A message to apply. Without `messageId` it came from a Python peer, and nothing is recorded of it. */
export interface Command<Body> {
  readonly messageId: string | undefined
  /** Hash of the raw body: the same id with another fingerprint is another message. */
  readonly fingerprint: string
  /** How often it was put back from the dead letters: each time it is judged anew, but applied once at most. */
  readonly redrives: number
  /** The message may have been applied before: delivered, or attempted, for the second time. */
  readonly redelivered: boolean
  readonly body: Body
}

/** Reasons to refuse a message that are remembered, so that a redelivery is told the same. */
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
  /** Added to the quantity; negative for what leaves. */
  readonly change: number
  readonly reason: string
  /** Who asked for it, and the request with which they did, where they are known. */
  readonly by?: string | undefined
  readonly requestId?: string | undefined
}

export type AdjustOutcome =
  /** `quantity` is what the item had after this change, also when it is told again. */
  | { kind: 'adjusted'; quantity: number; repeated: boolean }
  | { kind: (typeof ADJUSTMENT_REFUSALS)[number] | 'message-id-reused' | 'no-message-id'; error: string }

/** A change of stock that was applied. `at` is an ISO 8601 time in UTC. */
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

/** What was decided about a message. `error`: why it was refused; null when it was applied. `at` is an ISO 8601 time in UTC. */
export interface RecordedVerdict {
  readonly queue: string
  /** How often the message had been put back from the dead letters. */
  readonly redrives: number
  readonly outcome: string
  readonly error: string | null
  readonly at: string
}

/** `remembersSince`: the time of the oldest verdict about any message; null when there is none. */
export interface Recorded {
  readonly verdicts: readonly RecordedVerdict[]
  readonly remembersSince: string | null
}

export interface PageRequest {
  /** Id after which the page begins; 0 for the first. */
  readonly after: number
  /** Items at most. */
  readonly limit: number
  /** Only items with exactly this sku, label. */
  readonly sku?: string
  readonly label?: string
  /** Only items that have a smaller quantity; those without one are not among them. */
  readonly quantityBelow?: number
}

export type MovementsRequest = Pick<PageRequest, 'after' | 'limit' | 'sku'>

export interface Inventory {
  /** Stores items, each message once; one outcome for each command, in order. Rejects with DatabaseError when nothing was applied for certain. */
  create(commands: readonly Command<NewItem>[]): Promise<readonly CreateOutcome[]>
  /**
   * Deletes items by sku, each message once; one outcome for each command, in order. Null means all items without a sku,
   * which only the Python suite could store. Rejects like `create`.
   */
  delete(commands: readonly Command<{ readonly sku: string | null }>[]): Promise<readonly DeleteOutcome[]>
  /**
   * Adds to quantities, each message once and in their order; one outcome for each command, in order. For each change that is
   * applied there is a movement. Rejects like `create`.
   */
  adjust(commands: readonly Command<Adjustment>[]): Promise<readonly AdjustOutcome[]>
  /** Movements in the order of their id, as `page` pages. */
  movements(request: MovementsRequest): Promise<{ movements: Movement[]; next: number }>
  /** What is recorded about the messages with this id, oldest first. */
  recorded(messageId: string): Promise<Recorded>
  /** Items in the order of their id. `next` is the `after` of the following page, 0 on the last. */
  page(request: PageRequest): Promise<{ items: StockItem[]; next: number }>
}
