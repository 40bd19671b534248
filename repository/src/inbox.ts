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
/** Maximum number of redrives of one message that are looked up. After more, a copy that was refused earlier is refused again. */
export const REDRIVES_MAX = 20
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
  /** Shared, because it is the key of nearly every message. */
  readonly #withoutRedrives: readonly string[]
  readonly #verdicts = new Map<string, Verdict>()
  /** The outcomes of applied messages, with any number of redrives, by message id. */
  readonly #applied = new Map<string, Verdict>()
  readonly #fresh: unknown[][] = []

  private constructor(queue: string) {
    this.#queue = queue
    this.#withoutRedrives = [queue]
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
    const ids = new Set(identified.map(({ messageId }) => messageId))
    const known = await verdicts.#read(sql, 0, redrives, ids)
    // A refused message may have been applied after further redrives.
    const refused = new Set([...known].filter((id) => !verdicts.#applied.has(id)))
    if (refused.size > 0 && redrives < REDRIVES_MAX) await verdicts.#read(sql, redrives + 1, REDRIVES_MAX, refused)
    return verdicts
  }

  /** Reads the entries of these ids with `from` to `to` redrives. Resolves with the ids that have one. */
  async #read(sql: Sql, from: number, to: number, ids: ReadonlySet<string>): Promise<Set<string>> {
    const queues = Array.from({ length: to - from + 1 }, (_, index) => keyedQueue(this.#queue, from + index))
    const found = rows.parse(
      await sql(
        `SELECT queue, CONVERT(message_id USING utf8mb4) AS id, fingerprint, outcome, error FROM inbox
         WHERE queue IN (?) AND message_id IN (?)`,
        [queues, [...ids]],
      ),
    )
    for (const { queue: keyed, id, ...verdict } of found)
      this.#set(keyed, id, {
        ...verdict,
        fingerprint: verdict.error === null ? verdict.fingerprint : verdict.fingerprint.slice(REFUSED.length),
      })
    return new Set(found.map(({ id }) => id))
  }

  #set(keyed: string, id: string, verdict: Verdict): void {
    this.#verdicts.set(key(keyed, id), verdict)
    if (verdict.error === null) this.#applied.set(id, verdict)
  }

  /**
   * The recorded outcome of a message. A message that was applied with any number of redrives counts as applied with all. A
   * refusal counts only until the next redrive, which processes the message again.
   */
  on({ messageId, redrives }: Command<unknown>): Verdict | undefined {
    if (messageId === undefined) return undefined
    return this.#applied.get(messageId) ?? this.#verdicts.get(key(keyedQueue(this.#queue, redrives), messageId))
  }

  /**
   * The keys under which the outcome of a message is recorded. A redriven message that is applied also gets an entry without
   * redrives, if it has none: otherwise its first copy would not be recognised, because it looks up no others.
   */
  keysOf({ messageId, redrives }: Identified, isApplied: boolean): readonly string[] {
    if (redrives === 0) return this.#withoutRedrives
    const isFirstFree = isApplied && !this.#verdicts.has(key(this.#queue, messageId))
    return [...(isFirstFree ? this.#withoutRedrives : []), keyedQueue(this.#queue, redrives)]
  }

  /** Notes an outcome that is already written. Ignores a message without an id, because it cannot be recognised again. */
  note({ messageId, fingerprint, redrives }: Command<unknown>, outcome: string, error: string | null): void {
    if (messageId === undefined) return
    this.#set(keyedQueue(this.#queue, redrives), messageId, { fingerprint, outcome, error })
  }

  /** Notes a new outcome, which `record` writes. */
  add(command: Command<unknown>, outcome: string, error: string | null): void {
    if (hasId(command))
      for (const keyed of this.keysOf(command, error === null)) this.#fresh.push(row(keyed, command, outcome, error))
    this.note(command, outcome, error)
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
  verdicts: Verdicts,
  commands: readonly Command<unknown>[],
  outcome: string,
): Promise<void> {
  const values: unknown[][] = []
  for (const command of commands.filter(hasId))
    for (const keyed of verdicts.keysOf(command, true)) values.push(row(keyed, command, outcome, null))
  await insert(sql, values)
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
