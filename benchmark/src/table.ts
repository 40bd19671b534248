// The result as a Markdown table. Each line is a comparison, with its ratio, its goal, and the ratio of an earlier run if there is one.
import { cpuRatio, type Goal, isMet, median, OURS, type Row, ratio } from './measured.ts'

/** Two decimals below 10, one below 100, otherwise none. */
const shown = (figure: number): string =>
  figure < 10 ? figure.toFixed(2) : figure < 100 ? figure.toFixed(1) : Math.round(figure).toLocaleString('en')

/** Median, range of the rounds, and CPU time by process. */
export function cell({ figures, cpuUs }: Row, name: string): string {
  const all = figures[name] ?? []
  if (all.length === 0) return ''
  const range = all.length === 1 ? '' : ` (${shown(Math.min(...all))}–${shown(Math.max(...all))})`
  const byProcess = Object.entries(cpuUs[name] ?? {})
  const cpu = byProcess.map(([process, each]) =>
    byProcess.length === 1 ? `${shown(median(each))} µs` : `${process} ${shown(median(each))} µs`,
  )
  return [`${shown(median(all))}${range}`, ...cpu].join(' · ')
}

/** One comparison of a row, as text. `against` is empty if our figure is compared only with a goal. */
export interface Comparison {
  readonly what: string
  readonly ours: string
  readonly against: string
  readonly theirs: string
  readonly ratio: string
  readonly byCpu: string
  readonly before: string
  readonly goal: string
  readonly met: 'yes' | 'no' | ''
}

/** Returns one comparison for each other contestant, and one for our own figure if it has a goal or is the only figure. */
export function comparisons(row: Row, before: readonly Row[] = []): Comparison[] {
  const earlier = before.find(({ scenario, what }) => scenario === row.scenario && what === row.what)
  const others = Object.keys(row.figures).filter((name) => name !== OURS)
  const own = row.goals.some(({ against }) => against === undefined) || others.length === 0
  return [...(own ? [undefined] : []), ...others].map((against) => {
    const goal = row.goals.find((each) => each.against === against)
    const met = goal && isMet(row, goal)
    return {
      what: `${row.what} (${row.unit})`,
      ours: cell(row, OURS),
      against: against ?? '',
      theirs: against === undefined ? '' : cell(row, against),
      ratio: against === undefined ? '' : ratioShown(row, against),
      byCpu: against === undefined ? '' : (cpuRatio(row, against)?.toFixed(2) ?? ''),
      before: earlier === undefined ? '' : against === undefined ? cell(earlier, OURS) : ratioShown(earlier, against),
      goal: goal === undefined ? '' : goalShown(goal),
      met: met === undefined ? '' : met ? 'yes' : 'no',
    }
  })
}

const ratioShown = (row: Row, against: string): string => ratio(row, against)?.toFixed(2) ?? ''

const goalShown = ({ min, max }: Goal): string =>
  [...(min === undefined ? [] : [`≥ ${min}`]), ...(max === undefined ? [] : [`≤ ${max}`])].join(', ')

/** Renders the table. With `before`, a column shows the ratios of an earlier run. */
export function table(rows: readonly Row[], before?: readonly Row[]): string {
  const heads = ['what', OURS, 'against', 'theirs', 'ratio', 'by CPU', ...(before ? ['before'] : []), 'goal', 'met']
  const lines = rows
    .flatMap((row) => comparisons(row, before))
    .map((each) => [
      ...[each.what, each.ours, each.against, each.theirs, each.ratio, each.byCpu],
      ...(before ? [each.before] : []),
      ...[each.goal, each.met],
    ])
  return [line(heads), `|${'---|'.repeat(heads.length)}`, ...lines.map(line)].join('\n')
}

const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
