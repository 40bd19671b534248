// The result as a Markdown table: ours, the other tree if any, the ceiling, their ratios, and our required minimum.

export const OURS = 'ours'
export const CEILING = 'bare ceiling'

/** The figures of each column. */
export type Figures = ReadonlyMap<string, readonly number[]>

export interface Row {
  readonly what: string
  readonly figures: Figures
  /** The minimum ratio of ours to the ceiling, or the maximum of our figure. */
  readonly target?: { readonly minRatio: number } | { readonly max: number }
}

/** The median of an odd number of figures. */
export function median(figures: readonly number[]): number {
  const middle = figures.toSorted((a, b) => a - b)[Math.floor(figures.length / 2)]
  if (middle === undefined) throw new Error('the median of nothing')
  return middle
}

/** The table: medians of the alternating rounds, and ratios of medians. `other` is the column of another tree. */
export function table(rows: readonly Row[], machine: string, other?: string): string {
  const comparing = other === undefined ? [] : [other, `ours / ${other}`]
  const heads = ['what', OURS, ...comparing, CEILING, 'ratio', 'target', 'met']
  const lines = rows.map(({ what, figures, target }) => {
    const compared = other === undefined ? [] : [shown(figures.get(other)), ratio(figures, OURS, other)]
    const bare = [shown(figures.get(CEILING)), ratio(figures, OURS, CEILING)]
    return [what, shown(figures.get(OURS)), ...compared, ...bare, ...judged(figures, target)]
  })
  return [
    `Medians of interleaved rounds (lowest–highest) on ${machine}.`,
    '',
    line(heads),
    `|${'---|'.repeat(heads.length)}`,
    ...lines.map(line),
  ].join('\n')
}

const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`

function shown(figures: readonly number[] | undefined): string {
  if (figures === undefined) return ''
  const middle = median(figures).toFixed(0)
  return figures.length === 1
    ? middle
    : `${middle} (${Math.min(...figures).toFixed(0)}–${Math.max(...figures).toFixed(0)})`
}

function ratioOf(figures: Figures, one: string, other: string): number | undefined {
  const [above, below] = [figures.get(one), figures.get(other)]
  return above && below && median(above) / median(below)
}

const ratio = (figures: Figures, one: string, other: string): string => ratioOf(figures, one, other)?.toFixed(2) ?? ''

function judged(figures: Figures, target: Row['target']): [target: string, met: string] {
  if (target === undefined) return ['', '']
  if ('max' in target) return [`≤ ${target.max}`, yesOrNo(median(figures.get(OURS) ?? []) <= target.max)]
  return [`≥ ${target.minRatio}`, yesOrNo((ratioOf(figures, OURS, CEILING) ?? 0) >= target.minRatio)]
}

const yesOrNo = (isMet: boolean): string => (isMet ? 'yes' : 'no')
