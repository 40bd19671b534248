// The judgement: what was attempted and answered against what is in the database, the log and the dead letters. No clock, no server.
import type { Attempt, History } from './history.ts'

/** What is found when everything is healed and drained. */
export interface Found {
  /** Rows that were inserted into the inventory, by the item's name, as a trigger counted them. */
  readonly inserts: ReadonlyMap<string, number>
  /** Rows that were deleted from the inventory, by sku, as a trigger counted them. */
  readonly deletes: ReadonlyMap<string, number>
  /** Message ids of the deletes that are recorded as applied. */
  readonly deletesApplied: ReadonlySet<string>
  /** How often each health check was logged, by message id. */
  readonly logged: ReadonlyMap<string, number>
  readonly deadLetters: readonly DeadLetterFound[]
  /** The inventory: the item's name by sku. */
  readonly table: ReadonlyMap<string, string>
  /** Messages that are still on a queue or unacked, as sentences. */
  readonly left: readonly string[]
  /** Services that are not ready, or grew too large, as sentences. */
  readonly unwell: readonly string[]
}

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
    | 'doubled'
    | 'never sent'
    | 'lie'
    | 'table'
    | 'in two places'
    | 'set aside without fault'
    | 'left over'
    | 'unwell'
  readonly text: string
  /** The attempt it is about, if it is about one. */
  readonly attempt: Attempt | undefined
}

export interface Judgement {
  readonly violations: readonly Violation[]
  readonly attempted: number
  readonly accepted: number
  readonly indeterminate: number
  readonly setAside: number
  /** Dead letters beyond the first of their message: allowed, a crash between its confirm and the ack sets a message aside twice. */
  readonly setAsideAgain: number
}

/** Holds the history against what was found. */
export function judge(history: Pick<History, 'attempts' | 'expected' | 'lies'>, found: Found): Judgement {
  const letters = new DeadLetters(found.deadLetters)
  const violations: Violation[] = [
    ...history.lies.map(({ text, sku, atMs }) => {
      const attempt = history.attempts.findLast((each) => sku !== undefined && each.sku === sku)
      return { what: 'lie' as const, text: `${text} (at ${atMs.toFixed(0)} ms)`, attempt }
    }),
    ...history.attempts.flatMap((attempt) => judgeAttempt(attempt, found, letters)),
    ...neverSent(history.attempts, found, letters),
    ...withoutFault(history.attempts, found.deadLetters),
    ...judgeDeletes(history.attempts, found),
    ...judgeTable(history, found),
    ...found.left.map((text) => ({ what: 'left over' as const, text, attempt: undefined })),
    ...found.unwell.map((text) => ({ what: 'unwell' as const, text, attempt: undefined })),
  ]
  return {
    violations,
    attempted: history.attempts.length,
    accepted: history.attempts.filter(({ answer }) => answer === 'accepted').length,
    indeterminate: history.attempts.filter(({ answer }) => answer === 'unknown').length,
    setAside: letters.messages,
    setAsideAgain: found.deadLetters.length - letters.messages,
  }
}

function judgeAttempt(attempt: Attempt, found: Found, letters: DeadLetters): Violation[] {
  const effects = effectsOf(attempt, found)
  const aside = letters.has(attempt)
  const say = (what: Violation['what'], text: string): Violation[] => [{ what, text, attempt }]
  if (attempt.answer === 'accepted' && effects === 0 && !aside)
    return say('lost', 'accepted, but neither applied nor among the dead letters')
  // A health check leaves nothing behind but its line: one that is delivered again is logged again, and says so.
  if (effects > 1 && attempt.kind !== 'healthcheck') return say('doubled', `took effect ${effects} times`)
  if (attempt.kind === 'bad message' && effects > 0) return say('lie', 'a bad message took effect')
  if (attempt.answer === 'not accepted' && (effects > 0 || aside))
    return say('lie', `answered "not stored", but it is ${aside ? 'among the dead letters' : 'applied'}`)
  if (attempt.told === 'created' && effects === 0) return say('lie', 'answered "created", but it was not')
  if (attempt.told === 'refused' && effects > 0) return say('lie', 'answered "refused", but it took effect')
  if (effects > 0 && aside && attempt.messageId !== undefined && attempt.kind !== 'healthcheck')
    return say('in two places', 'applied, and among the dead letters')
  return []
}

function effectsOf({ kind, id, messageId }: Attempt, found: Found): number {
  if (kind === 'create') return found.inserts.get(id) ?? 0
  if (messageId === undefined) return 0
  if (kind === 'delete') return found.deletesApplied.has(messageId) ? 1 : 0
  return kind === 'healthcheck' ? (found.logged.get(messageId) ?? 0) : 0
}

/** E ∪ D ⊆ T: nothing is there that nobody sent. */
function neverSent(attempts: readonly Attempt[], found: Found, letters: DeadLetters): Violation[] {
  const ids = new Set(attempts.map(({ id }) => id))
  const names = [...found.inserts.keys()].filter((name) => !ids.has(name))
  const strangers = letters.without(attempts)
  return [
    ...names.map((name) => `an item named ${name} was stored, which nobody sent`),
    ...strangers.map(
      ({ queue, body, reason, error }) =>
        `a dead letter of ${queue} (${reason}: ${error}) holds what nobody sent: ${body.slice(0, 200)}`,
    ),
  ].map((text) => ({ what: 'never sent' as const, text, attempt: undefined }))
}

/** A valid message may be dead-lettered for one reason only: another item has its sku. A bad state of a server is never its fault. */
function withoutFault(attempts: readonly Attempt[], deadLetters: readonly DeadLetterFound[]): Violation[] {
  const byKey = new Map(attempts.flatMap((attempt) => keysOf(attempt).map((key) => [key, attempt])))
  const nameless = new Map(attempts.filter(({ messageId }) => messageId === undefined).map((each) => [each.sku, each]))
  const creates = Map.groupBy(
    attempts.filter(({ kind }) => kind === 'create'),
    ({ sku }) => sku,
  )
  return deadLetters.flatMap((letter) => {
    const sku = skuIn(letter.body)
    const attempt = byKey.get(keyOf(letter)) ?? nameless.get(sku)
    if (attempt === undefined || attempt.kind === 'bad message') return []
    if (letter.reason === 'duplicate-sku' && (creates.get(sku)?.length ?? 0) > 1) return []
    const text = `a good ${attempt.kind} is a dead letter: ${letter.reason}, ${letter.error}`
    return [{ what: 'set aside without fault' as const, text, attempt }]
  })
}

/** A delete is not named in the row that it takes away: it is counted by sku. */
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
      violations.push({ what: 'doubled', text: `${count} items deleted with sku ${sku} by ${sent} messages`, attempt })
  }
  for (const [sku, deletes] of bySku) {
    const told = deletes.filter((each) => each.told === 'deleted').length
    const count = found.deletes.get(sku) ?? 0
    if (told > count)
      violations.push({
        what: 'lie',
        text: `answered "deleted" ${told} times, was ${count} times`,
        attempt: deletes[0],
      })
  }
  return violations
}

/** The final table is the model's table. */
function judgeTable(
  { expected, attempts }: Pick<History, 'expected' | 'attempts'>,
  { table, inserts, deletes }: Found,
) {
  const violations: Violation[] = []
  const wrong = (sku: string, text: string) => {
    violations.push({ what: 'table', text, attempt: attempts.findLast((each) => each.sku === sku) })
  }
  for (const [sku, name] of expected) {
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

/** Dead letters by whatever tells their message: its id, or the name of the item within. */
class DeadLetters {
  readonly #all: readonly DeadLetterFound[]
  readonly #keys: Set<string>

  constructor(all: readonly DeadLetterFound[]) {
    this.#all = all
    this.#keys = new Set(all.map(keyOf))
  }

  get messages(): number {
    return this.#keys.size
  }

  has(attempt: Attempt): boolean {
    return keysOf(attempt).some((key) => this.#keys.has(key))
  }

  without(attempts: readonly Attempt[]): DeadLetterFound[] {
    const sent = new Set(attempts.flatMap(keysOf))
    // A command whose answer did not name its message can only be told by its sku.
    const nameless = new Set(attempts.filter(({ messageId }) => messageId === undefined).map(({ sku }) => sku))
    return this.#all.filter((letter) => !sent.has(keyOf(letter)) && !nameless.has(skuIn(letter.body)))
  }
}

const keysOf = ({ queue, id, messageId }: Attempt): string[] => [
  `${queue} ${id}`,
  ...(messageId === undefined ? [] : [`${queue} ${messageId}`]),
]

const keyOf = ({ queue, messageId, body }: DeadLetterFound): string => `${queue} ${nameIn(body) ?? messageId}`

const nameIn = (body: string): string | undefined => memberOf(body, 'name')
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
