// The inbox: records the outcome of each message, applied or refused, so that a redelivery gets the same outcome.
import { z } from 'zod'
import type { Command } from './contract.ts'
import { errnoOf, RunAgain } from './errors.ts'
import type { Sql } from './server-pool.ts'
import { assertChanged } from './stored.ts'

/** The recorded outcome of a message. `error` is the reason for a refusal, and null if it was applied. */
export interface Verdict {
  readonly fingerprint: string
  readonly outcome: string
  readonly error: string | null
}

export type Identified<Body = unknown> = Command<Body> & { readonly messageId: string }

export const hasId = <Body>(command: Command<Body>): command is Identified<Body> => command.messageId !== undefined

/** Maximum length of a stored error, in characters. */
const ERROR_MAX = 1_000
const DUPLICATE_KEY = 1062
/**
 * Prefix of the fingerprint of a refused message. Processes of the previous version know only applied messages. They
 * treat such a message as one with a different body, and refuse it too.
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

/** The recorded and the new outcomes for the messages of a batch. */
export class Verdicts {
  readonly #queue: string
  readonly #verdicts = new Map<string, Verdict>()
  readonly #fresh: unknown[][] = []

  private constructor(queue: string) {
    this.#queue = queue
  }

  /**
   * Starts empty, without reading the inbox. If a message has an entry, `record` throws RunAgain. Not for redriven
   * messages: their earlier outcomes have other keys, so `record` would not notice them.
   */
  static none(queue: string): Verdicts {
    return new Verdicts(queue)
  }

  /** Reads the inbox entries of these messages of `queue`. */
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
   * The recorded outcome of a message. An applied message keeps its outcome after any number of redrives. A refusal
   * counts only until the next redrive, which processes the message again.
   */
  on({ messageId, redrives }: Command<unknown>): Verdict | undefined {
    if (messageId === undefined) return undefined
    for (let redrive = 0; redrive <= redrives; redrive += 1) {
      const verdict = this.#verdicts.get(key(keyedQueue(this.#queue, redrive), messageId))
      if (verdict !== undefined && (verdict.error === null || redrive === redrives)) return verdict
    }
    return undefined
  }

  /** Notes an outcome that is already written. Ignores a message without an id, because it cannot be recognised again. */
  note({ messageId, fingerprint, redrives }: Command<unknown>, outcome: string, error: string | null): void {
    if (messageId === undefined) return
    this.#verdicts.set(key(keyedQueue(this.#queue, redrives), messageId), { fingerprint, outcome, error })
  }

  /** Notes a new outcome, which `record` writes. */
  add(command: Command<unknown>, outcome: string, error: string | null): void {
    this.note(command, outcome, error)
    if (hasId(command)) this.#fresh.push(row(keyedQueue(this.#queue, command.redrives), command, outcome, error))
  }

  /** Writes the new outcomes. Throws RunAgain when another consumer has recorded one of the messages in the meantime. */
  async record(sql: Sql): Promise<void> {
    await insert(sql, this.#fresh.splice(0)).catch((error) => {
      if (errnoOf(error) !== DUPLICATE_KEY) throw error
      throw new RunAgain('another consumer has recorded the outcome of a message of this batch')
    })
  }
}

/** Records that all these messages were applied. Rejects with errno 1062 when one of them already has an entry. */
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

/** Each redrive has its own outcome, so the redrive count is part of the key. */
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
