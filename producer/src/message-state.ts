// Derives the state of a message from its inbox entries, for GET /messages/{id} and the program `message`.
import type { messageStatus, RecordedVerdict } from '@ims/messaging'
import type { z } from 'zod'

/** The assumed maximum difference between the clocks of the producer and the database. */
const CLOCKS_DIFFER_MAX_MS = 60_000

/** A verdict of the consumer. If the message was redriven after a refusal, `redrivenBefore` is the time of the next verdict. */
export type Decision = RecordedVerdict & { readonly redrivenBefore?: string }

/** A possible state of a message whose record does not show its state. */
export type Possibility =
  | 'queued'
  | 'dead-letter'
  | 'never-sent'
  | 'leaves-no-record'
  | 'forgotten'
  | 'told'
  | 'redriven'
  | 'discarded'

export type MessageState =
  | {
      readonly id: string
      readonly state: 'applied'
      readonly queue: string
      readonly at: string
      readonly outcome: string
      readonly history: readonly Decision[]
    }
  | {
      readonly id: string
      readonly state: 'refused'
      readonly queue: string
      readonly at: string
      readonly reason: string
      readonly error: string
      /** The possible current states of the message. */
      readonly possible: readonly Possibility[]
      readonly history: readonly Decision[]
    }
  | {
      readonly id: string
      readonly state: 'unknown'
      /** When the message was sent, if its id contains the time. */
      readonly sentAt?: string
      readonly possible: readonly Possibility[]
    }

/** The state is `unknown` without verdicts, `applied` if one verdict has no error, and `refused` otherwise. `history` has all verdicts. */
export function stateOf(
  id: string,
  { verdicts, remembersSince }: z.output<(typeof messageStatus)['reply']>,
): MessageState {
  const last = verdicts.find(({ error }) => error === null) ?? verdicts.at(-1)
  if (last === undefined) return { id, state: 'unknown', ...reasonsFor(id, remembersSince) }
  const history = verdicts.map((verdict) => decision(verdict, verdicts))
  const { queue, at, error, outcome, redrives } = last
  if (error === null) return { id, state: 'applied', queue, at, outcome, history }
  // A redriven message that is refused is always dead-lettered again, even if the redrive waits for replies.
  const possible: Possibility[] = [
    ...(redrives === 0 ? (['told'] as const) : []),
    'dead-letter',
    'redriven',
    'discarded',
  ]
  return { id, state: 'refused', queue, at, reason: outcome, error, possible, history }
}

function decision(verdict: RecordedVerdict, all: readonly RecordedVerdict[]): Decision {
  const next = all.find(({ queue, redrives }) => queue === verdict.queue && redrives > verdict.redrives)
  return next === undefined || verdict.error === null ? verdict : { ...verdict, redrivenBefore: next.at }
}

/** The possible reasons why there is no record. The time in a UUIDv7 can exclude `forgotten`. */
function reasonsFor(id: string, remembersSince: string | null): { sentAt?: string; possible: Possibility[] } {
  const sentMs = timeOf(id)
  const possible: Possibility[] = ['queued', 'dead-letter', 'never-sent', 'leaves-no-record']
  const isRemembered =
    sentMs !== undefined && remembersSince !== null && sentMs > Date.parse(remembersSince) + CLOCKS_DIFFER_MAX_MS
  if (!isRemembered) possible.push('forgotten')
  return { ...(sentMs === undefined ? {} : { sentAt: new Date(sentMs).toISOString() }), possible }
}

/** The time in a UUIDv7 (RFC 9562, section 5.7), in milliseconds since 1970. Undefined for other ids. */
export function timeOf(id: string): number | undefined {
  if (!/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i.test(id)) return undefined
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)
}
