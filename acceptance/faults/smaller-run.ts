// Repeats a failed run with fewer faults for as long as it still fails.
import { violationsOf } from './record.ts'
import { type Run, type RunOptions, runLedger, Unfinished } from './run.ts'
import { type Shrunk, shrink } from './shrink.ts'

const RUNS_MAX = 20
const SHRINK_MINUTES_MIN = 5
const MINUTE_MS = 60_000
/** A fault can cause a violation of a message until this long after the message was sent. */
const AFTER_MS = 10_000

/** Resolves with a finished or unfinished run. Rejects only if the run was interrupted. */
export async function finishedOrNot(options: RunOptions): Promise<Run | Unfinished> {
  try {
    return await runLedger(options)
  } catch (error) {
    if (!(error instanceof Unfinished) || options.interrupted?.aborted) throw error
    return error
  }
}

/**
 * Resolves with the smallest run that failed with a violation of the same kind. If the failed run was not finished, any
 * failure counts. New runs start only for `minutes`, or for five minutes if that is longer.
 */
export async function smallerRun(
  failed: Run | Unfinished,
  options: RunOptions,
  onProgress: (text: string) => void,
): Promise<Shrunk<Run | Unfinished>> {
  const kinds = kindsOf(failed)
  const sinceMs = performance.now()
  const withinMs = Math.max(SHRINK_MINUTES_MIN, options.minutes) * MINUTE_MS
  return await shrink({
    all: failed.rounds.flatMap(numbersOf),
    suspects: suspectsIn(failed),
    again: async (only) => {
      const again = await finishedOrNot({ ...options, only })
      const found = kindsOf(again)
      onProgress(`with ${only.join(',') || 'no fault'}: ${[...new Set(found)].join(', ') || 'no violation'}`)
      return found.some((kind) => failed instanceof Unfinished || kinds.includes(kind)) ? again : undefined
    },
    mayRun: (runs) => runs < RUNS_MAX && performance.now() - sinceMs < withinMs,
  })
}

const kindsOf = (run: Run | Unfinished): readonly string[] =>
  run instanceof Unfinished ? ['unfinished'] : run.judgement.violations.map(({ what }) => what)

const numbersOf = ({ faults }: Run['rounds'][number]): number[] => faults.map(({ number }) => number)

/** The faults close to the first message with a violation. */
function suspectsIn(failed: Run | Unfinished): number[] {
  const atMs = violationsOf(failed).find(({ attempt }) => attempt !== undefined)?.attempt?.atMs
  if (atMs === undefined) return failed.rounds.slice(-1).flatMap(numbersOf)
  return failed.rounds.filter((round) => round.atMs < atMs + AFTER_MS && round.endedMs > atMs).flatMap(numbersOf)
}
