// The check: compares the requests and responses with the database, the log and the dead letters. It does not read the time and calls no server.
import type { Attempt, History } from './history.ts'
import { type ItemFound, isFairRefusal, judgeStock, lowestBySku, type MovementFound } from './stock.ts'

/** A disturbance that begins later than this after a message was sent does not explain a second dead letter of the message. */
const IN_FLIGHT_MAX_MS = 10_000

/** The data that is collected after all faults are repaired and all queues are drained. */
export interface Found {
  /** The number of rows inserted into the inventory, by item name, as counted by a trigger. */
  readonly inserts: ReadonlyMap<string, number>
  /** The number of rows deleted from the inventory, by sku, as counted by a trigger. */
  readonly deletes: ReadonlyMap<string, number>
  /** The inbox entries of each message, by `keyOf`. */
  readonly inbox: ReadonlyMap<string, Recorded>
  /** The same entries with their times, for the report. */
  readonly decisions: ReadonlyMap<string, readonly Decision[]>
  /** How often each health check was logged, by message id. */
  readonly logged: ReadonlyMap<string, number>
  readonly deadLetters: readonly DeadLetterFound[]
  /** The inventory: the item's name by sku. */
  readonly table: ReadonlyMap<string, string>
  /** Every item that ever existed. */
  readonly items: readonly ItemFound[]
  /** The movements by their reason, which is the id of the attempt. */
  readonly movements: ReadonlyMap<string, readonly MovementFound[]>
  /** One text for each queue that still has messages, ready or unacknowledged. */
  readonly left: readonly string[]
  /** One text for each service that is not ready or uses too much memory, and for each node whose data differs. */
  readonly unhealthy: readonly string[]
}

/** The redrive numbers under which a message was applied, and under which it was refused. */
export interface Recorded {
  readonly applied: readonly number[]
  readonly refused: readonly number[]
}

/** An entry of the inbox. */
export interface Decision {
  readonly epochMs: number
  readonly outcome: string
  /** The reason for the refusal, or null if the message was applied. */
  readonly error: string | null
  readonly redrives: number
}

/** The key of a message: its queue, and its message id or the name or reason in its body. */
export const keyOf = (queue: string, id: string | undefined): string => `${queue} ${id}`

export interface DeadLetterFound {
  readonly queue: string
  readonly messageId: string | undefined
  readonly body: string
  readonly reason: string
  /** The consumer's explanation. */
  readonly error: string
}

export interface Violation {
  readonly what:
    | 'lost'
    | 'applied twice'
    | 'never sent'
    | 'contradiction'
    | 'table'
    | 'stock'
    | 'both applied and refused'
    | 'dead-lettered again'
    | 'dead-lettered without reason'
    | 'not drained'
    | 'unhealthy'
  readonly text: string
  /** The attempt that the violation belongs to, if any. */
  readonly attempt: Attempt | undefined
}

export interface Judgement {
  readonly violations: readonly Violation[]
  readonly attempted: number
  readonly accepted: number
  /** The results of the accepted messages. Each message has one result, so these three counts and the lost messages add up to `accepted`. */
  readonly applied: number
  readonly reported: number
  readonly deadLettered: number
  readonly indeterminate: number
  readonly sentTwice: number
  readonly letters: number
  /** The number of dead letters beyond the first of each message. A crash between the confirm and the ack dead-letters a message twice. */
  readonly deadLetteredAgain: number
}

/** Compares the history with the collected data, and returns the violations and the counts. */
export function judge(
  history: Pick<History, 'attempts' | 'expected' | 'contradictions' | 'disturbances'>,
  found: Found,
): Judgement {
  const letters = new DeadLetters(found.deadLetters)
  const violations: Violation[] = [
    ...history.contradictions.map(({ text, sku, atMs }) => {
      const attempt = history.attempts.findLast((each) => sku !== undefined && each.sku === sku)
      return { what: 'contradiction' as const, text: `${text} (at ${atMs.toFixed(0)} ms)`, attempt }
    }),
    ...judgeStock(history.attempts, found),
    ...history.attempts.flatMap((attempt) => judgeAttempt(attempt, found, letters)),
    ...history.attempts
      .filter((attempt) => isUndisturbed(attempt, history.disturbances))
      .flatMap((attempt) => judgeLetters(attempt, letters.of(attempt))),
    ...neverSent(history.attempts, found, letters),
    ...withoutFault(history.attempts, found),
    ...judgeDeletes(history.attempts, found),
    ...judgeTable(history, found),
    ...found.left.map((text) => ({ what: 'not drained' as const, text, attempt: undefined })),
    ...found.unhealthy.map((text) => ({ what: 'unhealthy' as const, text, attempt: undefined })),
  ]
  const accepted = history.attempts.filter(({ answer }) => answer === 'accepted')
  const refused = accepted.filter((attempt) => effectsOf(attempt, found) === 0)
  const unreported = refused.filter(({ reported }) => reported !== 'refused')
  return {
    violations,
    attempted: history.attempts.length,
    accepted: accepted.length,
    applied: accepted.length - refused.length,
    reported: refused.length - unreported.length,
    deadLettered: unreported.filter((attempt) => letters.of(attempt) > 0).length,
    indeterminate: history.attempts.filter(({ answer }) => answer === 'unknown').length,
    sentTwice: history.attempts.filter(({ sentWaiting, sentWithoutWaiting }) => sentWaiting + sentWithoutWaiting > 1)
      .length,
    letters: letters.messages,
    deadLetteredAgain: found.deadLetters.length - letters.messages,
  }
}

function judgeAttempt(attempt: Attempt, found: Found, letters: DeadLetters): Violation[] {
  const effects = effectsOf(attempt, found)
  const isDeadLettered = letters.of(attempt) > 0
  const { applied, refused } = recordedOf(attempt, found)
  const isReported = attempt.reported === 'refused'
  const say = (what: Violation['what'], text: string): Violation[] => [{ what, text, attempt }]
  if (attempt.answer === 'accepted' && effects === 0 && !isDeadLettered && !isReported)
    return say('lost', 'accepted, but neither applied nor dead-lettered')
  if (attempt.kind === 'adjust' && applied.length > effects)
    return say('lost', 'recorded as applied, but there is no movement')
  // A redelivered health check is logged again.
  if (effects > 1 && attempt.kind !== 'healthcheck') return say('applied twice', `took effect ${effects} times`)
  if (attempt.kind === 'bad message' && effects > 0) return say('contradiction', 'a bad message took effect')
  if (attempt.answer === 'not accepted' && (effects > 0 || isDeadLettered))
    return say('contradiction', `reported as not stored, but it was ${isDeadLettered ? 'dead-lettered' : 'applied'}`)
  if ((attempt.reported === 'created' || attempt.reported === 'adjusted') && effects === 0)
    return say('contradiction', `reported as ${attempt.reported}, but it was not`)
  if (attempt.reported === 'refused' && effects > 0 && !isAppliedByRedrive(attempt, found))
    return say('contradiction', 'reported as refused, but it took effect')
  if (effects === 0 || attempt.messageId === undefined || attempt.kind === 'healthcheck') return []
  if (isDeadLettered) return say('both applied and refused', 'applied, and also dead-lettered')
  // A refused message may be applied after a redrive, but an applied message must never be refused.
  if (refused.some((redrives) => !applied.some((later) => later > redrives)))
    return say('both applied and refused', 'applied, and recorded as refused')
  return []
}

/**
 * Without faults, a message has at most one dead letter for each time that it was sent. If its refusal was reported, only
 * the transmissions without a waiting client count.
 */
function judgeLetters(attempt: Attempt, letters: number): Violation[] {
  const { reported, sentWaiting, sentWithoutWaiting } = attempt
  const max = reported === 'refused' ? sentWithoutWaiting : Math.max(sentWaiting + sentWithoutWaiting, 1)
  if (letters <= max) return []
  const text = `${letters} dead letters, at most ${max} expected${reported === 'refused' ? ': the refusal was reported to the sender' : ''}`
  return [{ what: 'dead-lettered again', text, attempt }]
}

const isUndisturbed = ({ atMs }: Attempt, disturbances: History['disturbances']): boolean =>
  disturbances.every(({ fromMs, untilMs }) => untilMs < atMs || fromMs > atMs + IN_FLIGHT_MAX_MS)

const nothingRecorded: Recorded = { applied: [], refused: [] }

const recordedOf = ({ queue, messageId }: Attempt, { inbox }: Found): Recorded =>
  (messageId === undefined ? undefined : inbox.get(keyOf(queue, messageId))) ?? nothingRecorded

const isAppliedByRedrive = (attempt: Attempt, found: Found): boolean =>
  recordedOf(attempt, found).applied.some((redrives) => redrives > 0)

function effectsOf(attempt: Attempt, found: Found): number {
  const { kind, id, messageId } = attempt
  if (kind === 'create') return found.inserts.get(id) ?? 0
  if (kind === 'adjust') return found.movements.get(id)?.length ?? 0
  if (kind === 'bad message') return (found.inserts.get(id) ?? 0) + (found.movements.get(id)?.length ?? 0)
  if (messageId === undefined) return 0
  if (kind === 'delete') return recordedOf(attempt, found).applied.length
  return kind === 'healthcheck' ? (found.logged.get(messageId) ?? 0) : 0
}

/** Every stored item and every dead letter must belong to a message that was sent. */
function neverSent(attempts: readonly Attempt[], found: Found, letters: DeadLetters): Violation[] {
  const ids = new Set(attempts.map(({ id }) => id))
  const names = [...found.inserts.keys()].filter((name) => !ids.has(name))
  const unknown = letters.without(attempts)
  return [
    ...names.map((name) => `an item named ${name} was stored, but never sent`),
    ...unknown.map(
      ({ queue, body, reason, error }) =>
        `a dead letter of ${queue} (${reason}: ${error}) was never sent: ${body.slice(0, 200)}`,
    ),
  ].map((text) => ({ what: 'never sent' as const, text, attempt: undefined }))
}

/** A valid message may be dead-lettered only because another item has its sku or the change of stock is impossible, never because a server failed. */
function withoutFault(attempts: readonly Attempt[], found: Found): Violation[] {
  const byKey = new Map(attempts.flatMap((attempt) => keysOf(attempt).map((key) => [key, attempt])))
  const nameless = new Map(attempts.filter(({ messageId }) => messageId === undefined).map((each) => [each.sku, each]))
  const bySku = Map.groupBy(attempts, ({ sku }) => sku)
  const lowest = lowestBySku(found)
  return found.deadLetters.flatMap((letter) => {
    const sku = skuIn(letter.body)
    const attempt = byKey.get(keyOfLetter(letter)) ?? nameless.get(sku)
    if (attempt === undefined || attempt.kind === 'bad message') return []
    const ofSku = bySku.get(sku) ?? []
    const { reason } = letter
    if (attempt.kind === 'create' && reason === 'duplicate-sku' && ofSku.filter(isCreate).length > 1) return []
    if (attempt.kind === 'adjust' && isFairRefusal(reason, attempt, ofSku, lowest.get(sku ?? ''))) return []
    const text = `a valid ${attempt.kind} was dead-lettered: ${letter.reason}, ${letter.error}`
    return [{ what: 'dead-lettered without reason' as const, text, attempt }]
  })
}

const isCreate = ({ kind }: Attempt): boolean => kind === 'create'

/** A deleted row does not name the message that deleted it, so deletes are counted by sku. */
function judgeDeletes(attempts: readonly Attempt[], found: Found): Violation[] {
  const bySku = Map.groupBy(
    attempts.filter(({ kind }) => kind === 'delete'),
    ({ sku }) => sku ?? '',
  )
  const violations: Violation[] = []
  for (const [sku, count] of found.deletes) {
    const sent = new Set(bySku.get(sku)?.map(({ id }) => id)).size
    const attempt = bySku.get(sku)?.[0]
    if (count > sent)
      violations.push({
        what: 'applied twice',
        text: `${count} items deleted with sku ${sku} by ${sent} messages`,
        attempt,
      })
  }
  for (const [sku, deletes] of bySku) {
    const reported = deletes.filter((each) => each.reported === 'deleted').length
    const count = found.deletes.get(sku) ?? 0
    if (reported > count)
      violations.push({
        what: 'contradiction',
        text: `reported as deleted ${reported} times, but it was deleted ${count} times`,
        attempt: deletes[0],
      })
  }
  return violations
}

/** The final table must equal the table that the responses imply. */
function judgeTable({ expected, attempts }: Pick<History, 'expected' | 'attempts'>, found: Found) {
  const { table, inserts, deletes } = found
  const violations: Violation[] = []
  const wrong = (sku: string, text: string) => {
    violations.push({ what: 'table', text, attempt: attempts.findLast((each) => each.sku === sku) })
  }
  // The responses do not show which item a redrive stored at the end.
  const open = new Set(attempts.filter((attempt) => isAppliedByRedrive(attempt, found)).map(({ sku }) => sku))
  for (const [sku, name] of expected) {
    if (open.has(sku)) continue
    const stored = table.get(sku)
    if (stored !== name) wrong(sku, `${sku} should be ${name ?? 'absent'}, but is ${stored ?? 'absent'}`)
  }
  const skuOf = new Map(attempts.map(({ id, sku }) => [id, sku]))
  const balance = new Map<string, number>()
  for (const [name, count] of inserts) {
    const sku = skuOf.get(name) ?? ''
    balance.set(sku, (balance.get(sku) ?? 0) + count)
  }
  for (const [sku, count] of deletes) balance.set(sku, (balance.get(sku) ?? 0) - count)
  for (const [sku, count] of balance)
    if (count !== (table.has(sku) ? 1 : 0))
      wrong(sku, `${sku}: ${count} more inserts than deletes do not fit the table`)
  return violations
}

/** Dead letters by the key of their message. */
class DeadLetters {
  readonly #all: readonly DeadLetterFound[]
  readonly #counts = new Map<string, number>()

  constructor(all: readonly DeadLetterFound[]) {
    this.#all = all
    for (const letter of all) this.#counts.set(keyOfLetter(letter), (this.#counts.get(keyOfLetter(letter)) ?? 0) + 1)
  }

  get messages(): number {
    return this.#counts.size
  }

  /** The number of dead letters of this message. */
  of(attempt: Attempt): number {
    return keysOf(attempt).reduce((sum, key) => sum + (this.#counts.get(key) ?? 0), 0)
  }

  without(attempts: readonly Attempt[]): DeadLetterFound[] {
    const sent = new Set(attempts.flatMap(keysOf))
    // A command whose response did not contain the message id can only be identified by its sku.
    const nameless = new Set(attempts.filter(({ messageId }) => messageId === undefined).map(({ sku }) => sku))
    return this.#all.filter((letter) => !sent.has(keyOfLetter(letter)) && !nameless.has(skuIn(letter.body)))
  }
}

/** The keys under which the dead letters and inbox entries of a message may be found. */
export const keysOf = ({ queue, id, messageId = id }: Attempt): string[] => [
  ...new Set([keyOf(queue, id), keyOf(queue, messageId)]),
]

export const keyOfLetter = ({ queue, messageId, body }: DeadLetterFound): string =>
  keyOf(queue, nameIn(body) ?? messageId)

const nameIn = (body: string): string | undefined => memberOf(body, 'name') ?? memberOf(body, 'reason')
const skuIn = (body: string): string | undefined => memberOf(body, 'sku')

function memberOf(body: string, member: string): string | undefined {
  try {
    const value: unknown = JSON.parse(body)
    const found: unknown = typeof value === 'object' && value !== null ? Reflect.get(value, member) : undefined
    return typeof found === 'string' ? found : undefined
  } catch {
    return undefined
  }
}
