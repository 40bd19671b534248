// Operations on dead letters: browse, redrive and discard. Each call opens its own connection.
import type { Message } from 'amqplib'
import type { RabbitmqConfig } from '../config.ts'
import { contracts } from '../contracts.ts'
import { idsOfAll, type LoggedIds, NAMED_MAX } from '../logged-ids.ts'
import { clockOf, withDeadline } from '../scope.ts'
import type { Service } from '../service.ts'
import { type DeadLetter, described, idOf, reasonOf } from './described.ts'
import { DeadLettersUnavailable } from './errors.ts'
import type { Outcomes, OutcomesWanted } from './outcomes.ts'
import { type DeadLetterReader, openReader } from './reader.ts'
import { countReason } from './reasons.ts'
import { openRepublisher, type Republisher, recogniseCopies } from './redriven.ts'
import { printable } from './text.ts'

/** The queues of the suite. Each has a dead-letter queue. */
export const deadLetterSources: readonly string[] = contracts.map(({ queue }) => queue)

const TURN_WAITS_MAX_MS = 1_000

const SUFFIX = /\.dead-letter$/

/** The queue for `name`, which is the name of the queue or of its dead-letter queue. Undefined if the suite has no such queue. */
export function deadLetterSource(name: string): string | undefined {
  const source = name.replace(SUFFIX, '')
  return deadLetterSources.includes(source) ? source : undefined
}

/** Which dead letters to select. */
export type Choice =
  | { readonly by: 'all' }
  | { readonly by: 'id'; readonly ids: ReadonlySet<string> }
  | { readonly by: 'reason'; readonly reason: string }

/** The progress of a redrive or discard. */
export interface Progress {
  readonly total: number
  readonly seen: number
  readonly done: number
}

/** Receives one dead letter of `total`, with its whole body. Returns false to stop. */
export type Visit = (letter: DeadLetter, total: number, content: Buffer) => boolean | Promise<boolean>

export interface BrowseOptions {
  readonly bodyMaxBytes: number
  readonly signal?: AbortSignal
}

export interface WorkOptions {
  /** The maximum number to redrive or discard. */
  readonly max?: number
  /** Only reports what would be done. */
  readonly dryRun?: boolean
  readonly signal?: AbortSignal
  progress?(progress: Progress): void
}

export interface RedriveOptions extends WorkOptions {
  /** Requests the outcomes of the messages from the consumer. */
  readonly outcomes?: OutcomesWanted
}

export interface Browsed {
  /** Dead letters on the queue at the start. */
  readonly total: number
  readonly seen: number
}

/** The result of a redrive or a discard. */
export interface Worked {
  /** Dead letters on the queue at the start. */
  readonly total: number
  readonly seen: number
  /** The number of redriven or discarded messages. With `dryRun`, the number that would be. */
  readonly done: number
  /** Dead letters on the queue at the end, including new ones: `total - done`, or more. */
  readonly left: number
  /** The ids of the oldest messages in `done`, at most 20, for a log line. */
  readonly ids: LoggedIds
  /** The number in `done` by reason. New reasons after the first 100 are counted together. */
  readonly reasons: ReadonlyMap<string, number>
  /** The number in `seen` by reason. */
  readonly seenReasons: ReadonlyMap<string, number>
  /** The number of further messages that may be on their queue again, although the broker did not confirm them. Their dead letters are kept. */
  readonly maybeSent: number
  /** Why the operation ended before all dead letters were read. An error is a failure. The other values were requested by the caller. */
  readonly stopped?: 'limit' | 'interrupted' | DeadLettersUnavailable
  /**
   * The outcomes of the redriven messages. A dead letter that was the copy of another one is counted in `done` but not here.
   * Never rejects. Undefined if they were not requested, and for queries, because their replies are not used.
   */
  readonly outcomes?: Promise<Outcomes>
}

/** Operations on dead letters. Each call connects, and may throw DeadLettersUnavailable before it changes anything. */
export interface DeadLetterDesk {
  /** Passes dead letters to `visit` one by one, oldest first, until it returns false. Awaits each call. No dead letter is removed. */
  browse(queue: string, visit: Visit, options: BrowseOptions): Promise<Browsed>
  /** Republishes messages to their queue with the same id. Each dead letter is removed once the broker has confirmed its message. */
  redrive(queue: string, choice: Choice, options?: RedriveOptions): Promise<Worked>
  /** Removes dead letters permanently. */
  discard(queue: string, choice: Choice, options?: WorkOptions): Promise<Worked>
}

/**
 * Gives access to the dead letters of the broker in `config`. Runs one operation at a time, because the memory budget is
 * enough for only one window, and displaying a dead letter of 15 MiB takes 100 MiB.
 */
export function deadLetterDesk(config: RabbitmqConfig, service: Service): DeadLetterDesk {
  let turn = Promise.resolve()
  const reading = async <T>(queue: string, work: (reader: DeadLetterReader) => Promise<T>): Promise<T> => {
    const before = turn
    let done = () => {}
    turn = new Promise((resolve) => {
      done = resolve
    })
    await withDeadline(clockOf(service), before, TURN_WAITS_MAX_MS, 'a turn').catch(() => {
      void before.then(done)
      const sentence =
        'another operation on dead letters is running in this process: wait until it has finished, and try again'
      throw new DeadLettersUnavailable('busy', sentence)
    })
    try {
      const reader = await openReader(queue, config, service)
      try {
        return await work(reader)
      } finally {
        await reader.close()
      }
    } finally {
      done()
    }
  }
  return {
    browse: async (queue, visit, options) => await reading(queue, (reader) => browsed(queue, reader, visit, options)),
    redrive: async (queue, choice, options = {}) =>
      await reading(queue, async (reader) => {
        const republisher = options.dryRun ? undefined : await openRepublisher(queue, config, service, options.outcomes)
        let outcomes: Promise<Outcomes> | undefined
        try {
          const done = await worked(reader, choice, options, republisher)
          // Not awaited here, because the next operation need not wait for the outcomes.
          outcomes = republisher?.outcomes()?.finally(() => republisher.close())
          return outcomes === undefined ? done : { ...done, outcomes }
        } finally {
          if (outcomes === undefined) await republisher?.close()
        }
      }),
    discard: async (queue, choice, options = {}) =>
      await reading(queue, (reader) => worked(reader, choice, options, undefined)),
  }
}

async function browsed(
  queue: string,
  reader: DeadLetterReader,
  visit: Visit,
  { bodyMaxBytes, signal }: BrowseOptions,
): Promise<Browsed> {
  const { total } = reader
  let seen = 0
  // A separate function, because the loop's stack frame would keep the bodies in memory while the next window is read.
  const visitAll = async (window: readonly Message[]): Promise<boolean> => {
    for (const message of window) {
      seen += 1
      const letter = described(queue, message, bodyMaxBytes)
      if (signal?.aborted || !(await visit(letter, total, message.content))) return false
    }
    return window.length > 0
  }
  while (!signal?.aborted && (await visitAll(await reader.window())));
  return { total, seen }
}

/** For each window: select, publish (when redriving), and only then remove. */
async function worked(
  reader: DeadLetterReader,
  choice: Choice,
  { max = Number.POSITIVE_INFINITY, dryRun = false, signal, progress }: WorkOptions,
  republisher: Republisher | undefined,
): Promise<Worked> {
  const { total } = reader
  const isCopy = recogniseCopies()
  const tally: Tally = { seen: 0, done: 0, ids: idsOfAll([]), reasons: new Map(), seenReasons: new Map() }
  const result = (left: number, stopped?: Worked['stopped'], maybeSent = 0): Worked => ({
    total,
    left,
    ...tally,
    maybeSent,
    ...(stopped === undefined ? {} : { stopped }),
  })
  // A separate function for the same reason as in `browsed`.
  const workOn = async (window: readonly Message[]): Promise<Worked | undefined> => {
    if (window.length === 0) {
      const wasInterrupted = signal?.aborted === true && tally.seen < total
      return result(await reader.left(), wasInterrupted ? 'interrupted' : undefined)
    }
    tally.seen += window.length
    for (const message of window) countReason(tally.seenReasons, reasonOf(message))
    const matching = window.filter((message) => isChosen(message, choice))
    const chosen = matching.slice(0, max - tally.done)
    const failed = await republisher?.publish(chosen.filter((message) => !isCopy(message)))
    if (failed) return result(await reader.left(), failed.trouble, failed.maybeSent)
    // A published message counts as redriven even if removing its dead letter fails. A discarded one counts only once it is removed.
    if (republisher) count(tally, chosen)
    if (!dryRun && chosen.length > 0) await reader.remove(chosen)
    if (!republisher) count(tally, chosen)
    progress?.({ total, seen: tally.seen, done: tally.done })
    const isFull = chosen.length < matching.length || (tally.done >= max && tally.seen < total)
    return isFull ? result(await reader.left(), 'limit') : undefined
  }
  try {
    for (;;) {
      const done = await workOn(signal?.aborted ? [] : await reader.window())
      if (done) return done
    }
  } catch (error) {
    if (!(error instanceof DeadLettersUnavailable)) throw error
    return result(dryRun ? total : total - tally.done, error)
  }
}

interface Tally {
  seen: number
  done: number
  ids: LoggedIds
  readonly reasons: Map<string, number>
  readonly seenReasons: Map<string, number>
}

function count(tally: Tally, taken: readonly Message[]): void {
  // Keeps only the ids of the first messages, as strings, because a reference to a message would keep its body in memory.
  if (tally.done === 0) tally.ids = idsOfAll(taken.slice(0, NAMED_MAX).map(named))
  tally.done += taken.length
  for (const message of taken) countReason(tally.reasons, reasonOf(message))
}

/** A message without an id has the id of its dead letter. */
const named = (message: Message) => ({ messageId: idOf(message), headers: message.properties.headers })

function isChosen(message: Message, choice: Choice): boolean {
  if (choice.by === 'all') return true
  // An operator may have copied the text from a terminal, which shows it with escapes.
  const matches = (text: string, wanted: (each: string) => boolean) => wanted(text) || wanted(printable(text))
  if (choice.by === 'id') return matches(idOf(message), (id) => choice.ids.has(id))
  return matches(reasonOf(message), (reason) => reason === choice.reason)
}
