// The output of a run: a line for each round, a summary line, and the history of every message with a violation.
import { inspect } from 'node:util'
import type { Violation } from './ledger.ts'
import type { Round } from './nemesis.ts'
import type { Run } from './run.ts'

const VIOLATIONS_SHOWN_MAX = 20
const LOG_LINES_MAX = 12
const AROUND_MS = 15_000

export function roundLine({ atMs, faults, recoveryMs }: Round): string {
  const injected = faults.map(
    ({ number, kind, note, tookEffect }) =>
      `${number}: ${kind}${note === '' ? '' : ` (${note})`}${tookEffect ? '' : ' [no effect]'}`,
  )
  return `${(atMs / 1000).toFixed(1).padStart(7)} s  ${injected.join(' + ')}; recovered after ${recoveryMs.toFixed(0)} ms`
}

/** The number of faults that took effect, by kind, in descending order. */
export function faultsByKind(rounds: readonly Round[]): [string, number][] {
  const effective = rounds.flatMap(({ faults }) => faults.filter(({ tookEffect }) => tookEffect))
  return [...Map.groupBy(effective, ({ kind }) => kind)]
    .map(([kind, all]): [string, number] => [kind, all.length])
    .sort(([, one], [, other]) => other - one)
}

const named = ['lost', 'applied twice', 'both applied and refused', 'contradiction', 'stock'] as const

/** The recovery times: p50, p95 and the maximum. */
function recoveryOf(rounds: readonly Round[]): [string, string, string] {
  const recovery = rounds.map(({ recoveryMs }) => recoveryMs).sort((one, other) => one - other)
  const percentile = (fraction: number) =>
    `${((recovery[Math.min(recovery.length - 1, Math.floor(recovery.length * fraction))] ?? 0) / 1000).toFixed(1)} s`
  return [percentile(0.5), percentile(0.95), percentile(1)]
}

const sum = (kinds: readonly [string, number][]): number => kinds.reduce((total, [, each]) => total + each, 0)

/** The run as a row of the results in docs/faults.md. */
export function rowLine(
  { rounds, judgement: { violations, attempted, accepted } }: Run,
  { seed, commit, servers }: { readonly seed: number; readonly commit: string; readonly servers: string },
): string {
  const kinds = faultsByKind(rounds)
  const lost = violations.filter(({ what }) => what === 'lost').length
  const appliedTwice = violations.filter(({ what }) => what === 'applied twice').length
  const counts = [
    attempted,
    accepted,
    sum(kinds),
    kinds.length,
    lost,
    appliedTwice,
    violations.length - lost - appliedTwice,
  ]
  const cells = [seed, commit, servers, ...counts.map((count) => count.toLocaleString('en')), ...recoveryOf(rounds)]
  return `| ${cells.join(' | ')} |`
}

/** The result of the run in one line. */
export function summaryLine({ rounds, judgement, repeated, history }: Run, seed: number): string {
  const kinds = faultsByKind(rounds)
  const count = (what: Violation['what']) => judgement.violations.filter((each) => each.what === what).length
  const [p50, p95, max] = recoveryOf(rounds)
  return [
    `attempted ${judgement.attempted} (sent twice: ${judgement.sentTwice}), indeterminate ${judgement.indeterminate}`,
    `accepted ${judgement.accepted}: applied ${judgement.applied}, refused and reported ${judgement.reported}` +
      `, dead-lettered ${judgement.deadLettered}`,
    `dead letters of ${judgement.letters} messages (additional ones: ${judgement.deadLetteredAgain})`,
    `faults ${sum(kinds)} of ${kinds.length} kinds: ${kinds.map(([kind, each]) => `${kind} ${each}`).join(', ')}`,
    `lost ${count('lost')}, applied twice ${count('applied twice')}, both applied and refused ${count('both applied and refused')},` +
      ` contradictory responses ${count('contradiction')}, wrong stock ${count('stock')}, other violations ${
        judgement.violations.length - named.reduce((total, what) => total + count(what), 0)
      }`,
    `duplicates recognised ${repeated}`,
    `recovery p50 ${p50}, p95 ${p95}, max ${max}`,
    `${(history.nowMs() / 60_000).toFixed(1)} minutes`,
    `seed ${seed}`,
  ].join(' · ')
}

/** The lines for the first violations, each with the history of its message. The last line says how many are left out. */
export function violationLines(run: Run): string[] {
  const { violations } = run.judgement
  const log = violations.length === 0 ? [] : run.lines.map((line) => JSON.stringify(line))
  const stories = violations.slice(0, VIOLATIONS_SHOWN_MAX).flatMap((violation) => storyOf(violation, run, log))
  const rest = violations.length - VIOLATIONS_SHOWN_MAX
  return rest > 0 ? [...stories, `… and ${rest} more`] : stories
}

function storyOf({ what, text, attempt }: Violation, { rounds, found }: Run, log: readonly string[]): string[] {
  const lines = [`✗ ${what}: ${text}`]
  if (attempt === undefined) return lines
  const { id, kind, sku, messageId, answer, reported, calls, atMs } = attempt
  const answered = calls.at(-1)?.answered
  lines.push(
    `    ${inspect({ id, kind, sku, messageId, answer, reported, answered, atMs: Math.round(atMs) }, { breakLength: 200 })}`,
  )
  const deadLetters = found.deadLetters.filter((letter) => letter.messageId === messageId && messageId !== undefined)
  lines.push(
    `    inserted ${found.inserts.get(id) ?? 0} times; deleted by sku ${found.deletes.get(sku ?? '') ?? 0} times;` +
      ` stored now: ${found.table.get(sku ?? '') ?? 'no'}; dead letters: ${deadLetters.map(({ reason }) => reason).join(', ') || 'none'}`,
  )
  for (const round of rounds)
    if (round.endedMs > atMs - AROUND_MS && round.atMs < atMs + AROUND_MS) lines.push(`    fault ${roundLine(round)}`)
  const words = [messageId, sku].filter((word) => word !== undefined)
  const about = words.flatMap((word) => log.filter((line) => line.includes(`"${word}"`)))
  for (const line of about.slice(0, LOG_LINES_MAX)) lines.push(`    log ${line}`)
  return lines
}
