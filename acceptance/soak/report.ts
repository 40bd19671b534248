// The output of a soak test: a row for each attack and each service, a summary line, and the violations with their times and attacks.
import { SERVICES } from '../test/stack.ts'
import { attacks } from './attacks.ts'
import { mib, percentile, type Soak, type Turn } from './run.ts'

export const turnLine = ({ attacks: named, fromMs, untilMs }: Turn): string =>
  `${(fromMs / 1_000).toFixed(0).padStart(5)} s  ${named.join(' + ')} (${((untilMs - fromMs) / 1_000).toFixed(0)} s)`

/** The rows of the output. The row of an attack counts the honest requests that were sent while it ran, alone or with others. */
export function tableLines({ turns, results, samples, beforeP95Ms, quietP95Ms }: Soak): string[] {
  const row = (name: string, some: Soak['results'], peakBytes: number) => {
    const took = some.map(({ tookMs }) => tookMs)
    const refused = some.filter(({ status }) => status === 503).length
    const figures = [0.5, 0.95, 1].map((fraction) => `${percentile(took, fraction).toFixed(0)}`.padStart(6))
    const share = some.length === 0 ? 0 : (100 * refused) / some.length
    return `${name.padEnd(46)}${String(some.length).padStart(8)}${share.toFixed(1).padStart(7)}${figures.join('')}  ${mib(peakBytes)}`
  }
  const during = (of: readonly Turn[]) => (atMs: number) =>
    of.some(({ fromMs, untilMs }) => atMs >= fromMs && atMs < untilMs)
  const peakOf = (some: Soak['samples']) => Math.max(0, ...some.map(({ bytes }) => bytes))
  const rows = attacks
    .map(({ name }) => ({ name, of: turns.filter((turn) => turn.attacks.includes(name)) }))
    .filter(({ of }) => of.length > 0)
  return [
    `${'during'.padEnd(46)}requests  503 %   p50   p95   max ms  largest process`,
    ...rows.map(({ name, of }) => {
      const isWithin = during(of)
      return row(
        name,
        results.filter(({ sentAtMs }) => isWithin(sentAtMs)),
        peakOf(samples.filter(({ atMs }) => isWithin(atMs))),
      )
    }),
    row('the whole run', results, peakOf(samples)),
    `p95 before ${beforeP95Ms.toFixed(0)} ms, in the quiet periods ${quietP95Ms.map((each) => each.toFixed(0)).join(' ')} ms`,
    ...SERVICES.map((service) => {
      const of = samples.filter((each) => each.service === service)
      return `${service}: ${mib(of.at(0)?.bytes ?? 0)} at the start, ${mib(peakOf(of))} maximum, ${mib(of.at(-1)?.bytes ?? 0)} at the end`
    }),
  ]
}

/** A line for each violation, with the attacks that ran at that time or before. Equal violations of one turn share a line. */
export function violationLines({ violations, turns }: Soak): string[] {
  const whenOf = (atMs: number) => {
    const turn = turns.findLast(({ fromMs }) => fromMs <= atMs)
    return turn === undefined
      ? 'before the first attack'
      : `${turn.untilMs > atMs ? 'during' : 'after'} ${turn.attacks.join(' + ')}`
  }
  const alike = Map.groupBy(violations, ({ atMs, what }) => `${whenOf(atMs)}: ${what}`)
  return [...alike].map(([text, all]) => {
    const amounts = all
      .map(({ amount = '' }) => amount)
      .sort((one, other) => Number.parseInt(one, 10) - Number.parseInt(other, 10))
    const worst = amounts.at(-1) ? `, at worst ${amounts.at(-1)}` : ''
    return `✗ ${((all[0]?.atMs ?? 0) / 1_000).toFixed(1)} s, ${text}${all.length > 1 ? ` (${all.length} times)` : ''}${worst}`
  })
}

export function summaryLine(
  { violations, judgement, results, turns, stalledMs, waitedForCpu }: Soak,
  seed: number,
): string {
  const { accepted, applied, reported, deadLettered, indeterminate } = judgement
  return [
    `${results.length} honest requests, ${turns.length} turns of attacks`,
    `accepted ${accepted} = applied ${applied} + refused and reported ${reported} + dead-lettered ${deadLettered}, indeterminate ${indeterminate}`,
    `violations ${violations.length}`,
    `event loop of this process blocked for at most ${stalledMs.toFixed(0)} ms`,
    ...(waitedForCpu === undefined
      ? []
      : [`a process on this machine waited for a processor ${(100 * waitedForCpu).toFixed(0)} % of the time`]),
    `seed ${seed}`,
  ].join(' · ')
}
