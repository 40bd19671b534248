// What the clients did and received: the side of the ledger that does not look into the suite.

/** What the sender of a message knows about it: certainly stored, certainly not stored, or neither. */
export type Answer = 'accepted' | 'not accepted' | 'unknown'

/** One time that a message was sent, and the response. */
export interface Call {
  /** In milliseconds since the start of the run. */
  readonly fromMs: number
  readonly untilMs: number
  /** A status and the type of the problem, or what a publisher was told. */
  readonly answered: string
}

export interface Attempt {
  /** For an item its name, and for a change of stock its reason, which no other attempt has. Otherwise the message id, or a substitute until that is known. */
  readonly id: string
  readonly kind: 'create' | 'delete' | 'adjust' | 'healthcheck' | 'bad message'
  readonly queue: string
  readonly sku: string | undefined
  /** The change of the stock. */
  readonly change?: number
  /** When it was sent, in milliseconds since the start of the run. */
  readonly atMs: number
  answer: Answer
  messageId: string | undefined
  /** How often it was sent by clients that wait for the outcome, and by clients that do not. */
  asked: number
  unasked: number
  /** The outcome that a waiting client received. */
  reported: 'created' | 'deleted' | 'adjusted' | 'unknown-sku' | 'refused' | undefined
  /** The stock after the change, as reported to the client. */
  quantity: number | undefined
  /** In the order of the responses. */
  readonly calls: Call[]
}

/** A response that no state of the suite can justify. */
export interface Lie {
  readonly atMs: number
  readonly text: string
  readonly sku: string | undefined
}

/** A period in which a message may be redelivered, and a reply or an ack lost. */
export interface Disturbance {
  readonly fromMs: number
  readonly untilMs: number
}

export class History {
  readonly #began = performance.now()
  /** The wall clock at 0 ms. */
  readonly startedAt = new Date()
  readonly attempts: Attempt[] = []
  readonly lies: Lie[] = []
  readonly disturbances: Disturbance[] = []
  /** What the last responses on a sku imply: the name of the stored item, or undefined for none. */
  readonly expected = new Map<string, string | undefined>()
  readonly answers = new Map<string, number>()
  #lastId = 0

  nowMs(): number {
    return performance.now() - this.#began
  }

  /** A word that is unique in this run. */
  unique(prefix: string): string {
    this.#lastId += 1
    return `${prefix}-${this.#lastId}`
  }

  begin(attempt: Pick<Attempt, 'id' | 'kind' | 'queue' | 'sku' | 'change'> & { messageId?: string }): Attempt {
    const begun: Attempt = {
      messageId: undefined,
      ...attempt,
      atMs: this.nowMs(),
      answer: 'unknown',
      asked: 0,
      unasked: 0,
      reported: undefined,
      quantity: undefined,
      calls: [],
    }
    this.attempts.push(begun)
    return begun
  }

  lie(text: string, sku?: string): void {
    this.lies.push({ atMs: this.nowMs(), text, sku })
  }

  count(answer: string): void {
    this.answers.set(answer, (this.answers.get(answer) ?? 0) + 1)
  }
}
