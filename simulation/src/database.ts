// A simulated database in virtual time: transactions with row locks, and an inbox with the outcomes of messages, as in repository/.
import type { Delivery, Handler, Item, Outcome } from '@ims/messaging'
import type { Process, World } from './world.ts'

const LOCK_TIMEOUT_MS = 1_000
const STATEMENT_TIMEOUT_MS = 2_000
/** The session's wait_timeout. */
const IDLE_TIMEOUT_MS = 10_000
/** Maximum number of redrives of one message that are looked up. */
const REDRIVES_MAX = 20

class DatabaseError extends Error {
  readonly transient = true
  readonly contended: boolean
  constructor(message: string, contended = false) {
    super(message)
    this.contended = contended
  }
}

interface Verdict {
  readonly label: string
  readonly error: string | undefined
}

interface Transaction {
  readonly locks: Set<string>
  readonly writes: (() => void)[]
  usedMs: number
  isOver: boolean
}

type Result = { outcome: 'created' }
type Created = Outcome<Result>

export class SimulatedDatabase {
  /** How often each message took effect, by its label. */
  readonly effects = new Map<string, number>()
  readonly appliedAtMs = new Map<string, number>()
  readonly refused = new Set<string>()
  readonly unreachableFor = new Set<Process>()
  isDown = false
  commitRepliesLost = 0
  commitsFail = 0
  readonly #world: World
  readonly #items = new Set<string>()
  readonly #verdicts = new Map<string, Verdict>()
  readonly #locks = new Map<string, Transaction>()
  #waiting: (() => void)[] = []

  constructor(world: World) {
    this.#world = world
  }

  /** Why `process` cannot use the database now. Undefined when it can. */
  unavailable(process: Process): string | undefined {
    return this.isDown || this.unreachableFor.has(process) ? 'the database is down' : undefined
  }

  /** Deletes an item without a message. Its sku can then be used again. */
  removeItem(sku: string): void {
    this.#items.delete(sku)
  }

  /** A handler that stores items, like consumer two. `handled` is called when an attempt begins and when it ends. */
  storeItems(
    process: Process,
    handled: (labels: readonly string[], state: 'begun' | 'done' | 'unavailable' | 'failed') => void,
  ): Handler<Item, Result> {
    return async (deliveries) => {
      const labels = deliveries.map(({ body }) => body.name)
      handled(labels, 'begun')
      try {
        const outcomes = await this.#transact(process, deliveries)
        handled(labels, 'done')
        return outcomes
      } catch (error) {
        handled(labels, error instanceof DatabaseError && !error.contended ? 'unavailable' : 'failed')
        throw error
      }
    }
  }

  async #transact(process: Process, deliveries: readonly Delivery<Item>[]): Promise<readonly Created[]> {
    const transaction: Transaction = { locks: new Set(), writes: [], usedMs: this.#world.nowMs, isOver: false }
    try {
      await this.#statement(process, transaction, () => {})
      const keys = deliveries.flatMap(({ body, messageId }) => [`sku ${body.sku}`, `id ${messageId}`])
      await this.#lock(process, transaction, [...new Set(keys)].sort())
      if (deliveries.some(({ body }) => body.label === 'poison')) throw new TypeError('a bug of the handler')
      const outcomes = await this.#statement(process, transaction, () => this.#decide(transaction, deliveries))
      await this.#commit(process, transaction)
      return outcomes
    } finally {
      // If the rollback does not reach the server, the idle timeout ends the transaction.
      if (!process.isFrozen && this.unavailable(process) === undefined) this.#end(transaction)
      else this.#endWhenIdle(transaction)
    }
  }

  #decide(transaction: Transaction, deliveries: readonly Delivery<Item>[]): Created[] {
    const seen = new Map<string, Verdict>()
    const items = new Set(this.#items)
    return deliveries.map((delivery) => {
      const { messageId = '', redrives, body } = delivery
      const before = this.#verdictOn(seen, messageId, redrives)
      if (before) return asCreated(before, true)
      const error = items.has(body.sku) ? `an item with sku ${body.sku} exists` : undefined
      const verdict = { label: body.name, error }
      seen.set(`${redrives} ${messageId}`, verdict)
      items.add(body.sku)
      transaction.writes.push(() => {
        this.#verdicts.set(`${redrives} ${messageId}`, verdict)
        if (error !== undefined) return void this.refused.add(body.name)
        this.#items.add(body.sku)
        this.effects.set(body.name, (this.effects.get(body.name) ?? 0) + 1)
        this.appliedAtMs.set(body.name, this.#world.nowMs)
      })
      return asCreated(verdict, false)
    })
  }

  #verdictOn(seen: Map<string, Verdict>, messageId: string, redrives: number): Verdict | undefined {
    const verdictAfter = (number: number) => {
      const key = `${number} ${messageId}`
      return seen.get(key) ?? this.#verdicts.get(key)
    }
    for (let number = 0; number <= Math.max(REDRIVES_MAX, redrives); number += 1) {
      const verdict = verdictAfter(number)
      if (verdict !== undefined && verdict.error === undefined) return verdict
    }
    return verdictAfter(redrives)
  }

  /** Runs `work` on the server after a delay. The response arrives after another delay, or never. */
  #statement<T>(process: Process, transaction: Transaction, work: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const clear = process.after(STATEMENT_TIMEOUT_MS, () => reject(new DatabaseError('the database did not respond')))
      const answered = (answer: () => void) => {
        this.#world.at(this.#world.nowMs + this.#delayMs(), () => {
          if (this.unavailable(process) !== undefined) return
          process.post(() => {
            clear()
            answer()
          })
        })
      }
      this.#world.at(this.#world.nowMs + this.#delayMs(), () => {
        if (this.unavailable(process) !== undefined) return
        if (transaction.isOver) return answered(() => reject(new DatabaseError('the server has closed the connection')))
        transaction.usedMs = this.#world.nowMs
        this.#endWhenIdle(transaction)
        try {
          const result = work()
          answered(() => resolve(result))
        } catch (error) {
          answered(() => reject(error))
        }
      })
    })
  }

  #lock(process: Process, transaction: Transaction, keys: readonly string[]): Promise<void> {
    return new Promise((resolve, reject) => {
      const untilMs = this.#world.nowMs + LOCK_TIMEOUT_MS
      const attempt = () => {
        if (transaction.isOver)
          return process.post(() => reject(new DatabaseError('the server has closed the connection')))
        const isBusy = keys.some((key) => (this.#locks.get(key) ?? transaction) !== transaction)
        if (!isBusy) {
          for (const key of keys) {
            this.#locks.set(key, transaction)
            transaction.locks.add(key)
          }
          return process.post(resolve)
        }
        if (this.#world.nowMs >= untilMs)
          return process.post(() => reject(new DatabaseError('Lock wait timeout exceeded', true)))
        this.#waiting.push(attempt)
      }
      this.#world.at(untilMs, () => this.#wakeWaiting())
      attempt()
    })
  }

  #wakeWaiting(): void {
    for (const attempt of this.#waiting.splice(0)) attempt()
  }

  async #commit(process: Process, transaction: Transaction): Promise<void> {
    let isReplyLost = false
    await this.#statement(process, transaction, () => {
      if (this.commitsFail > 0) {
        this.commitsFail -= 1
        this.#end(transaction)
        throw new DatabaseError('COMMIT failed')
      }
      for (const write of transaction.writes) write()
      this.#end(transaction)
      if (this.commitRepliesLost > 0) {
        this.commitRepliesLost -= 1
        isReplyLost = true
      }
    })
    if (isReplyLost) throw new DatabaseError('the connection was lost before the response to COMMIT arrived')
  }

  #end(transaction: Transaction): void {
    transaction.isOver = true
    for (const key of transaction.locks) this.#locks.delete(key)
    transaction.locks.clear()
    if (this.#waiting.length > 0) this.#wakeWaiting()
  }

  #endWhenIdle(transaction: Transaction): void {
    const { usedMs } = transaction
    if (transaction.isOver) return
    this.#world.at(usedMs + IDLE_TIMEOUT_MS, () => {
      if (!transaction.isOver && transaction.usedMs === usedMs) this.#end(transaction)
    })
  }

  #delayMs(): number {
    return this.#world.between(1, 8)
  }
}

const asCreated = ({ error }: Verdict, repeated: boolean): Created =>
  error === undefined
    ? { kind: 'applied', result: { outcome: 'created' }, repeated }
    : { kind: 'refused', reason: 'duplicate-sku', error }
