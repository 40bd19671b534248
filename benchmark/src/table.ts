// The result as a Markdown table: ours, the ceiling, their ratio, and what it should be at least.

export interface Rounds {
  readonly ours: readonly number[]
  readonly ceiling: readonly number[]
}

export interface Row {
  readonly what: string
  readonly ours: string
  readonly ceiling: string
  readonly ratio: string
  readonly target: string
  readonly met: boolean
}

/** The middle one of an odd number of figures. */
export function median(figures: readonly number[]): number {
  const middle = figures.toSorted((a, b) => a - b)[Math.floor(figures.length / 2)]
  if (middle === undefined) throw new Error('the median of nothing')
  return middle
}

/** Compares the medians of the interleaved rounds. */
export function ratioRow(what: string, { ours, ceiling }: Rounds, least: number): Row {
  const ratio = median(ours) / median(ceiling)
  const spread = (figures: readonly number[]) =>
    `${median(figures).toFixed(0)} (${Math.min(...figures).toFixed(0)}–${Math.max(...figures).toFixed(0)})`
  return {
    what,
    ours: spread(ours),
    ceiling: spread(ceiling),
    ratio: ratio.toFixed(2),
    target: `≥ ${least}`,
    met: ratio >= least,
  }
}

/** Prints the table to standard output. */
export function printTable(rows: readonly Row[], machine: string): void {
  const lines = [
    `Medians of interleaved rounds (lowest–highest) on ${machine}.`,
    '',
    '| what | ours | bare ceiling | ratio | target | met |',
    '|---|---|---|---|---|---|',
    ...rows.map(
      (row) =>
        `| ${row.what} | ${row.ours} | ${row.ceiling} | ${row.ratio} | ${row.target} | ${row.met ? 'yes' : 'no'} |`,
    ),
  ]
  process.stdout.write(`${lines.join('\n')}\n`)
}
