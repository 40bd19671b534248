// Implements the verbs of `dead-letters`. The desk, the output and the stop signal are passed in.
import {
  type Choice,
  countReason,
  type DeadLetterDesk,
  DeadLettersUnavailable,
  deadLetterSources,
  jsonLinePieces,
  printable,
} from '@ims/messaging'
import type { Log } from '@ims/runtime'
import { parseDeadLetterArguments, type Request, USAGE, WrongArguments } from './arguments.ts'
import { progressLines, shownOutcome, shownOutcomes, shownReasons, shownShortly, shownWhole } from './shown.ts'

export interface Parts {
  readonly desk: DeadLetterDesk
  /** Where changes are logged. */
  readonly log: Pick<Log, 'info' | 'warn'>
  out(text: string): Promise<void>
  err(line: string): void
  readonly stopping: AbortSignal
}

/** The exit codes, which `docs/dead-letters.md` lists too. */
const CODE = { done: 0, notAll: 1, usage: 64, unavailable: 69, interrupted: 130 } as const

/** A redrive waits this long for outcomes. A consumer processes thousands of messages in this time. Later outcomes count as unknown. */
const OUTCOMES_WITHIN_MS = 30_000

const SHORT_BODY_BYTES = 200
const WHOLE_BODY = Number.POSITIVE_INFINITY

/** Exit codes: 0 done · 1 not all done, or no such dead letter · 64 wrong arguments · 69 nothing could be done · 130 interrupted. */
export async function runDeadLetters(args: readonly string[], parts: Parts): Promise<number> {
  try {
    return await carryOut(parseDeadLetterArguments(args), parts)
  } catch (error) {
    if (error instanceof WrongArguments) parts.err(`${error.message}\n${USAGE}`)
    else if (error instanceof DeadLettersUnavailable) parts.err(`✗ ${error.message}`)
    else throw error
    return error instanceof WrongArguments ? CODE.usage : CODE.unavailable
  }
}

async function carryOut(request: Request, parts: Parts): Promise<number> {
  switch (request.verb) {
    case 'help':
      await parts.out(`${USAGE}\n`)
      return CODE.done
    case 'list':
      return await listEach(request.queues, request.limit, parts)
    case 'export':
      return await ofEach(request.queues, parts, (queue) => exportAll(queue, parts))
    case 'show':
      return await show(request.id, parts)
    case 'redrive':
    case 'discard':
      return await work(request, parts)
  }
}

/** Runs `each` on one queue after the other. With several queues, a missing queue is no error: it may never have had a dead letter. */
async function ofEach(
  queues: readonly string[],
  { err, stopping }: Parts,
  each: (queue: string) => Promise<void>,
): Promise<number> {
  for (const queue of queues) {
    if (stopping.aborted) return CODE.interrupted
    try {
      await each(queue)
    } catch (error) {
      const isMissing = error instanceof DeadLettersUnavailable && error.trouble === 'no-queue'
      if (queues.length === 1 || !isMissing) throw error
      err(`${queue}: ${error.message}`)
    }
  }
  return stopping.aborted ? CODE.interrupted : CODE.done
}

/** Prints the counts of all queues first, because hundreds of lines may follow. */
async function listEach(queues: readonly string[], limit: number, parts: Parts): Promise<number> {
  const letters: string[] = []
  try {
    return await ofEach(queues, parts, async (queue) => {
      const held = await list(queue, limit, parts)
      if (held !== '') letters.push(`\n${queues.length > 1 ? `${queue}:\n` : ''}${held}`)
    })
  } finally {
    for (const each of letters) await parts.out(each)
  }
}

/** Maximum number of list entries that are kept in memory, so that the counts can be printed first. */
const HELD_MAX = 1_000

/**
 * Prints the counts, and resolves with the entries for the caller to print. If there are `HELD_MAX` entries or more, prints
 * them before the counts, and resolves with an empty string.
 */
async function list(queue: string, limit: number, { desk, out, stopping }: Parts): Promise<string> {
  const reasons = new Map<string, number>()
  let shown = 0
  let held = ''
  const { seen, total } = await desk.browse(
    queue,
    async (letter, total) => {
      countReason(reasons, letter.reason)
      if (shown === limit) return true
      shown += 1
      held += shownShortly(letter)
      if (shown < HELD_MAX) return true
      await out(shown === HELD_MAX ? `${queue}: ${total} dead letters\n${held}` : held)
      held = ''
      return true
    },
    { bodyMaxBytes: SHORT_BODY_BYTES, signal: stopping },
  )
  const partly = seen < total ? `, ${seen} of them read` : ''
  const summary = reasons.size === 0 ? '' : `: ${shownReasons(reasons)}`
  await out(`${queue}: ${total} dead letters${partly}${summary}\n`)
  return held
}

async function exportAll(queue: string, { desk, out, err, stopping }: Parts): Promise<void> {
  const progress = progressLines(queue, err)
  let seen = 0
  const browsed = await desk.browse(
    queue,
    async (letter, total, content) => {
      seen += 1
      for (const piece of jsonLinePieces(letter, content)) await out(piece)
      progress({ total, seen, done: seen })
      return true
    },
    { bodyMaxBytes: 0, signal: stopping },
  )
  err(`${queue}: ${browsed.seen} of ${browsed.total} dead letters exported`)
}

async function show(id: string, parts: Parts): Promise<number> {
  let found = 0
  await ofEach(deadLetterSources, parts, async (queue) => {
    await parts.desk.browse(
      queue,
      async (letter) => {
        if (letter.id !== id && printable(letter.id) !== id) return true
        found += 1
        await parts.out(shownWhole(letter))
        return true
      },
      { bodyMaxBytes: WHOLE_BODY, signal: parts.stopping },
    )
  })
  if (found === 0) parts.err(`there is no dead letter with the id ${id}`)
  return found === 0 ? CODE.notAll : CODE.done
}

async function work(
  request: Extract<Request, { queue: string }>,
  { desk, log, out, err, stopping }: Parts,
): Promise<number> {
  const { verb, queue, choice, dryRun, max, isWaiting } = request
  const options = {
    dryRun,
    signal: stopping,
    progress: progressLines(queue, err),
    ...(max === undefined ? {} : { max }),
    ...(isWaiting ? { outcomes: { withinMs: OUTCOMES_WITHIN_MS, signal: stopping } } : {}),
  }
  const outcome =
    verb === 'redrive' ? await desk.redrive(queue, choice, options) : await desk.discard(queue, choice, options)
  const past = verb === 'redrive' ? 'redriven' : 'discarded'
  await out(shownOutcome(queue, dryRun ? `would be ${past}:` : past, outcome))
  const { stopped, done, left, maybeSent, seenReasons, ids } = outcome
  const fields = { queue, verb, by: choice.by, dryRun, done, left, ...ids }
  if (stopped instanceof DeadLettersUnavailable)
    log.warn({ ...fields, maybeSent, reason: stopped.message }, 'operation on dead letters stopped early')
  else log.info(fields, 'operation on dead letters finished')
  const outcomes = await outcome.outcomes
  if (outcomes) {
    await out(shownOutcomes(queue, outcomes))
    const { applied, refused, unknown } = outcomes
    log.info({ queue, verb, applied, refused: Object.fromEntries(refused), unknown, ...ids }, 'outcomes of a redrive')
    if (unknown > 0) err(`${queue}: some outcomes are unknown; \`message <id>\` shows the state of one message`)
  }
  if (stopped instanceof DeadLettersUnavailable) {
    const maybe = maybeSent === 0 ? '' : ` Up to ${maybeSent} more may have been redriven.`
    err(`✗ ${stopped.message}.${maybe} The rest are still dead-lettered. Run the command again to continue.`)
    return CODE.notAll
  }
  if (stopped === 'interrupted' || (outcomes?.unknown && stopping.aborted)) return CODE.interrupted
  const isMissing = choice.by === 'id' ? done < choice.ids.size : choice.by === 'reason' && done === 0
  if (isMissing && stopped === undefined) err(`${queue}: ${whatIsMissing(choice, seenReasons)}`)
  const isApplied = outcomes === undefined || (outcomes.unknown === 0 && outcomes.refused.size === 0)
  return isMissing || !isApplied ? CODE.notAll : CODE.done
}

function whatIsMissing(choice: Choice, seen: ReadonlyMap<string, number>): string {
  if (choice.by !== 'reason') return 'some of the requested messages were not found'
  const none = `no dead letter has the reason ${printable(choice.reason)}`
  return seen.size === 0 ? `${none}: there are no dead letters` : `${none}. The reasons are: ${shownReasons(seen)}`
}
