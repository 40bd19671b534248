// The inbox: what was decided about a message, applied or refused, so that it is decided once.
import { z } from 'zod'
import type { Command } from './contract.ts'
import { errnoOf, RunAgain } from './errors.ts'
import type { Sql } from './server-pool.ts'
import { assertChanged } from './stored.ts'

/** What is recorded of a message. `error`: why it was refused; null when it was applied. */
export interface Verdict {
  readonly fingerprint: string
  readonly outcome: string
  readonly error: string | null
}

export type Identified<Body = unknown> = Command<Body> & { readonly messageId: string }

export const hasId = <Body>(command: Command<Body>): command is Identified<Body> => command.messageId !== undefined

/** Longest explanation that is kept, in characters. */
const ERROR_MAX = 1_000
const DUPLICATE_KEY = 1062
/**
 * Before the fingerprint of a message that was refused. Processes of the version before read only what was applied: to
 * them such a message has another body, so that they refuse it too.
 */
const REFUSED = '!'

export const verdictRow = z.object({
  queue: z.string(),
  id: z.string(),
  fingerprint: z.string(),
  outcome: z.string(),
  error: z.string().nullable(),
})
const rows = z.array(verdictRow)

/** The verdicts on the messages of a batch, those recorded before and those that are new. */
export class Verdicts {
  readonly #queue: string
  readonly #verdicts = new Map<string, Verdict>()
  readonly #fresh: unknown[][] = []

  private constructor(queue: string) {
    this.#queue = queue
  }

  /** Reads what is recorded of these messages of `queue`. */
  static async of(sql: Sql, queue: string, commands: readonly Command<unknown>[]): Promise<Verdicts> {
    const verdicts = new Verdicts(queue)
    const identified = commands.filter(hasId)
    if (identified.length === 0) return verdicts
    const redrives = Math.max(...identified.map((command) => command.redrives))
    const queues = Array.from({ length: redrives + 1 }, (_, redrive) => keyedQueue(queue, redrive))
    const found = await sql(
      `SELECT queue, CONVERT(message_id USING utf8mb4) AS id, fingerprint, outcome, error FROM inbox
       WHERE queue IN (?) AND message_id IN (?)`,
      [queues, identified.map(({ messageId }) => messageId)],
    )
    for (const { queue: keyed, id, ...verdict } of rows.parse(found))
      verdicts.#verdicts.set(key(keyed, id), {
        ...verdict,
        fingerprint: verdict.error === null ? verdict.fingerprint : verdict.fingerprint.slice(REFUSED.length),
      })
    return verdicts
  }

  /**
   * What was decided about a message: that it was applied, under any number of redrives, or that it was refused under its own.
   * A message that was redriven since it was refused is to be judged anew.
   */
  on({ messageId, redrives }: Command<unknown>): Verdict | undefined {
    if (messageId === undefined) return undefined
    for (let redrive = 0; redrive <= redrives; redrive += 1) {
      const verdict = this.#verdicts.get(key(keyedQueue(this.#queue, redrive), messageId))
      if (verdict !== undefined && (verdict.error === null || redrive === redrives)) return verdict
    }
    return undefined
  }

  /** Notes a verdict that is written already. A message without an id leaves nothing to recognise it by. */
  note({ messageId, fingerprint, redrives }: Command<unknown>, outcome: string, error: string | null): void {
    if (messageId === undefined) return
    this.#verdicts.set(key(keyedQueue(this.#queue, redrives), messageId), { fingerprint, outcome, error })
  }

  /** Notes a new verdict, which `record` writes. */
  add(command: Command<unknown>, outcome: string, error: string | null): void {
    this.note(command, outcome, error)
    if (hasId(command)) this.#fresh.push(row(keyedQueue(this.#queue, command.redrives), command, outcome, error))
  }

  /** Writes the new verdicts. Throws RunAgain when another consumer has decided about one of the messages meanwhile. */
  async record(sql: Sql): Promise<void> {
    await insert(sql, this.#fresh.splice(0)).catch((error) => {
      if (errnoOf(error) !== DUPLICATE_KEY) throw error
      throw new RunAgain('another consumer has decided about a message of the batch meanwhile')
    })
  }
}

/** Records that all these messages were applied. Rejects with errno 1062 when something is recorded of one already. */
export async function recordApplied(
  sql: Sql,
  queue: string,
  commands: readonly Command<unknown>[],
  outcome: string,
): Promise<void> {
  await insert(
    sql,
    commands.filter(hasId).map((command) => row(keyedQueue(queue, command.redrives), command, outcome, null)),
  )
}

/** A redrive is judged on its own, so its number is part of the key. */
export const keyedQueue = (queue: string, redrives: number): string => (redrives === 0 ? queue : `${queue}#${redrives}`)

const key = (queue: string, messageId: string): string => `${queue} ${messageId}`

const row = (
  queue: string,
  { messageId, fingerprint }: Identified,
  outcome: string,
  error: string | null,
): unknown[] => [
  queue,
  messageId,
  error === null ? fingerprint : REFUSED + fingerprint,
  outcome,
  error?.slice(0, ERROR_MAX) ?? null,
]

async function insert(sql: Sql, values: readonly unknown[][]): Promise<void> {
  if (values.length === 0) return
  const answer = await sql('INSERT INTO inbox (queue, message_id, fingerprint, outcome, error) VALUES ?', [values])
  assertChanged(answer, values.length)
}
