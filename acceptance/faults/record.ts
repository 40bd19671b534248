// The record of a run as JSON: all data that report.html shows.
import type { Attempt, Call } from './history.ts'
import { type DeadLetterFound, type Found, keyOfLetter, keysOf, type Violation } from './ledger.ts'
import type { Round } from './nemesis.ts'
import { type Run, Unfinished } from './run.ts'

/** Facts about a run, apart from its events. */
export interface About {
  readonly seed: number
  readonly commit: string
  /** Names and versions of the servers. */
  readonly servers: string
  /** The command that repeats the run. */
  readonly command: string
  /** The line that is printed at the end. */
  readonly summary: string
  /** The result of shrinking, if the run failed and was shrunk. */
  readonly shrunk?: string
}

export interface MessageRecord
  extends Pick<Attempt, 'id' | 'kind' | 'queue' | 'sku' | 'messageId' | 'answer' | 'reported'> {
  readonly calls: readonly Call[]
  readonly events: readonly Event[]
  readonly isApplied: boolean
  readonly deadLetters: number
}

/** An event of a message, apart from its calls. */
export interface Event {
  /** Absent if the event was found only at the end of the run. */
  readonly atMs?: number
  readonly text: string
  /** Set if the event is that a consumer applied or refused the command. */
  readonly isDecision?: true
}

export interface RunRecord extends About {
  readonly startedAt: string
  readonly endedMs: number
  readonly rounds: readonly Round[]
  readonly messages: readonly MessageRecord[]
  readonly violations: readonly {
    readonly what: string
    readonly text: string
    /** The index of the message, if the violation concerns one. */
    readonly message?: number
  }[]
}

/** The record of `run`. */
export function recordOf(run: Run | Unfinished, about: About): RunRecord {
  const { history, rounds, lines } = run
  const found = run instanceof Unfinished ? undefined : run.found
  const letters = Map.groupBy(found?.deadLetters ?? [], keyOfLetter)
  const log = Map.groupBy(lines, ({ messageId }) => messageId)
  const runMs = (time: Date | number) => Number(time) - Number(history.startedAt)
  const messages = history.attempts.map((attempt): MessageRecord => {
    const { id, kind, queue, sku, messageId, answer, reported, calls } = attempt
    const dead = keysOf(attempt).flatMap((key) => letters.get(key) ?? [])
    const decisions = keysOf(attempt).flatMap((key) => found?.decisions.get(key) ?? [])
    const events = [
      ...decisions.map(({ epochMs, outcome, error, redrives }) => ({
        atMs: runMs(epochMs),
        text: `the inbox records: ${outcome}${error === null ? '' : `, ${error}`}${redrives > 0 ? ` (redrive ${redrives})` : ''}`,
        isDecision: true as const,
      })),
      ...(messageId === undefined ? [] : (log.get(messageId) ?? [])).map(({ time, service, level, message }) => ({
        atMs: runMs(new Date(String(time))),
        text: `${service} logs (${level}): ${message}`,
      })),
      ...(found === undefined ? [] : traces(attempt, found, dead)).map((text) => ({ text })),
    ]
    const isApplied = decisions.some(({ error }) => error === null)
    return { id, kind, queue, sku, messageId, answer, reported, calls, events, isApplied, deadLetters: dead.length }
  })
  const indexOf = new Map(history.attempts.map((attempt, index) => [attempt, index]))
  return {
    ...about,
    startedAt: history.startedAt.toISOString(),
    endedMs: Math.max(0, ...rounds.map(({ endedMs }) => endedMs), ...messages.map(endOf)),
    rounds,
    messages,
    violations: violationsOf(run).map(({ what, text, attempt }) => {
      const message = attempt && indexOf.get(attempt)
      return { what, text, ...(message === undefined ? {} : { message }) }
    }),
  }
}

/** The violations of a run. An unfinished run has only one: nothing was checked. */
export const violationsOf = (run: Run | Unfinished): readonly Violation[] =>
  run instanceof Unfinished
    ? [{ what: 'unhealthy', text: `nothing was checked: ${run.message}`, attempt: undefined }]
    : run.judgement.violations

const endOf = ({ calls }: MessageRecord): number => Math.max(0, ...calls.map(({ untilMs }) => untilMs))

/** The effects of a message that are found in the database, in the log and in the queues at the end. */
function traces({ id, kind, sku, messageId }: Attempt, found: Found, dead: readonly DeadLetterFound[]): string[] {
  const inserts = found.inserts.get(id) ?? 0
  const logged = found.logged.get(messageId ?? '') ?? 0
  return [
    ...(kind === 'create' ? [`inserted ${times(inserts)}`] : []),
    ...(kind === 'healthcheck' ? [`logged ${times(logged)}`] : []),
    ...(found.movements.get(id) ?? []).map(
      ({ change, before, after }) => `a movement changes the stock by ${change}, from ${before} to ${after}`,
    ),
    ...dead.map(({ queue, reason, error }) => `a dead letter of ${queue}: ${reason}, ${error}`),
    ...(sku === undefined ? [] : [`the item with sku ${sku} is ${found.table.get(sku) ?? 'absent'}`]),
  ]
}

const times = (count: number): string => (count === 1 ? 'once' : `${count} times`)
