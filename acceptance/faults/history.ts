// What the clients did and were told: the side of the ledger that does not look into the suite.

/** What the sender of a message knows of it: stored for certain, not stored for certain, or neither. */
export type Answer = 'accepted' | 'not accepted' | 'unknown'

export interface Attempt {
  /** Of an item its name and of a change of stock its reason, which no other attempt has; of anything else its message id, or what stands for it until it is known. */
  readonly id: string
  readonly kind: 'create' | 'delete' | 'adjust' | 'healthcheck' | 'bad message'
  readonly queue: string
  readonly sku: string | undefined
  /** By how much the stock is to change. */
  readonly change?: number
  /** When it was sent, in milliseconds since the run began. */
  readonly atMs: number
  answer: Answer
  messageId: string | undefined
  /** How many times it was sent by somebody who asks what becomes of it, and by somebody who does not. */
  asked: number
  unasked: number
  /** What a client that asked to wait was told of the effect. */
  told: 'created' | 'deleted' | 'adjusted' | 'unknown-sku' | 'refused' | undefined
  /** The stock after the change, as it was told. */
  quantity: number | undefined
  /** What was answered last, for the reader of a failure. */
  said: string
}

/** An answer that no state of the suite can justify. */
export interface Lie {
  readonly atMs: number
  readonly text: string
  readonly sku: string | undefined
}

/** A time in which a message may be delivered again, and a reply or an ack be lost. */
export interface Disturbance {
  readonly fromMs: number
  readonly untilMs: number
}

export class History {
  readonly #began = performance.now()
  readonly attempts: Attempt[] = []
  readonly lies: Lie[] = []
  readonly disturbances: Disturbance[] = []
  /** What the last answers on a sku leave no choice about: the name of the item there is, or undefined for none. */
  readonly expected = new Map<string, string | undefined>()
  readonly answers = new Map<string, number>()
  #lastId = 0

  nowMs(): number {
    return performance.now() - this.#began
  }

  /** A word that nothing else in this run has. */
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
      told: undefined,
      quantity: undefined,
      said: 'no answer',
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
