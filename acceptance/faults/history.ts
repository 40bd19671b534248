// The history of a run: the requests of the clients, and their responses.

/** The state of a message as far as its sender knows: certainly stored, certainly not stored, or unknown. */
export type Answer = 'accepted' | 'not accepted' | 'unknown'

/** One transmission of a message, and the response. */
export interface Call {
  /** Both times are in milliseconds since the start of the run. */
  readonly fromMs: number
  readonly untilMs: number
  /** The status of the response and the type of its problem document, `no response`, or the result of a publish. */
  readonly answered: string
}

export interface Attempt {
  /** Unique in the run: the name of an item, the reason of a change of stock, or a message id. A generated text if the message id is unknown. */
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
  sentWaiting: number
  sentWithoutWaiting: number
  /** The outcome that was reported to a waiting client. */
  reported: 'created' | 'deleted' | 'adjusted' | 'unknown-sku' | 'refused' | undefined
  /** The stock after the change, as reported to the client. */
  quantity: number | undefined
  /** The calls, in the order of their responses. */
  readonly calls: Call[]
}

/** An observation that a correct suite cannot produce, such as a wrong response or a service that does not become ready in time. */
export interface Contradiction {
  readonly atMs: number
  readonly text: string
  readonly sku: string | undefined
}

/** A period in which messages may be redelivered, and replies or acks may be lost. */
export interface Disturbance {
  readonly fromMs: number
  readonly untilMs: number
}

export class History {
  readonly #began = performance.now()
  /** The wall-clock time at 0 ms. */
  readonly startedAt = new Date()
  readonly attempts: Attempt[] = []
  readonly contradictions: Contradiction[] = []
  readonly disturbances: Disturbance[] = []
  /** The state that the last responses for a sku imply: the name of the stored item, or undefined for none. */
  readonly expected = new Map<string, string | undefined>()
  /** How often each result was received, such as `/create_item 200`. */
  readonly results = new Map<string, number>()
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
      sentWaiting: 0,
      sentWithoutWaiting: 0,
      reported: undefined,
      quantity: undefined,
      calls: [],
    }
    this.attempts.push(begun)
    return begun
  }

  reportContradiction(text: string, sku?: string): void {
    this.contradictions.push({ atMs: this.nowMs(), text, sku })
  }

  count(result: string): void {
    this.results.set(result, (this.results.get(result) ?? 0) + 1)
  }
}
