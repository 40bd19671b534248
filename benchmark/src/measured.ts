// The measurements: rows of figures by contestant, and the alternating rounds that produce them.
import { z } from 'zod'

export const OURS = 'ours'
/** The other source tree of `--root`. */
export const OTHER_TREE = 'other tree'

/** Figures of all rounds by name. */
const series = z.record(z.string(), z.array(z.number()))

/** Limits for the ratio of ours to `against`. Without `against`, limits for our own figure. */
const goal = z.object({ against: z.string().optional(), min: z.number().optional(), max: z.number().optional() })
export type Goal = z.infer<typeof goal>

/** One line of the result. It is part of the JSON file that `--compare` reads. */
export const row = z.object({
  scenario: z.string(),
  what: z.string(),
  unit: z.string(),
  /** By contestant. */
  figures: series,
  /** CPU time per request or message in microseconds, by contestant and process. On a shared machine it varies less than a rate. */
  cpuUs: z.record(z.string(), series),
  goals: z.array(goal),
})
export type Row = z.infer<typeof row>

/** The result of one round of one contestant. */
export interface Measured {
  readonly figure: number
  /** By process. */
  readonly cpuUs?: Readonly<Record<string, number>>
}

export interface Contestant<Result = Measured> {
  readonly name: string
  measure(): Promise<Result>
}

export type Progress = (line: string) => void

/** Runs rounds of all contestants in turn, so that other load on the machine affects all of them equally. */
export async function interleaved<Result>(
  rounds: number,
  contestants: readonly Contestant<Result>[],
  progress: Progress,
): Promise<ReadonlyMap<string, readonly Result[]>> {
  const results = new Map<string, Result[]>(contestants.map(({ name }) => [name, []]))
  for (let round = 1; round <= rounds; round += 1)
    for (const { name, measure } of contestants) {
      progress(`round ${round} of ${rounds}, ${name}`)
      results.get(name)?.push(await measure())
    }
  return results
}

/** Makes a row. `measuredBy` returns the figure and the CPU time of each result. */
export function rowOf<Result>(
  about: Pick<Row, 'scenario' | 'what' | 'unit'> & { readonly goals?: readonly Goal[] },
  results: ReadonlyMap<string, readonly Result[]>,
  measuredBy: (result: Result) => Measured,
): Row {
  const figures: Row['figures'] = {}
  const cpuUs: Row['cpuUs'] = {}
  for (const [name, all] of results) {
    const measured = all.map(measuredBy)
    figures[name] = measured.map(({ figure }) => figure)
    for (const process of Object.keys(measured[0]?.cpuUs ?? {})) {
      cpuUs[name] ??= {}
      cpuUs[name][process] = measured.map(({ cpuUs: each }) => each?.[process] ?? Number.NaN)
    }
  }
  const { scenario, what, unit, goals = [] } = about
  return { scenario, what, unit, figures, cpuUs, goals: [...goals] }
}

/** The median. Throws if there are no figures. */
export function median(figures: readonly number[]): number {
  const sorted = figures.toSorted((a, b) => a - b)
  const [below, above] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]]
  if (below === undefined || above === undefined) throw new Error('no figures for a median')
  return (below + above) / 2
}

/** Our median divided by the median of `against`. Undefined if one of them was not measured. */
export function ratio({ figures }: Row, against: string): number | undefined {
  const [above, below] = [figures[OURS], figures[against]]
  return above?.length && below?.length ? median(above) / median(below) : undefined
}

/** The CPU time of `against` divided by ours, per request or message and over all processes. Above 1 when ours is better. */
export function cpuRatio({ cpuUs }: Row, against: string): number | undefined {
  const totalOf = (name: string) =>
    Object.values(cpuUs[name] ?? {}).reduce<number | undefined>((sum, each) => (sum ?? 0) + median(each), undefined)
  const [ours, theirs] = [totalOf(OURS), totalOf(against)]
  return ours === undefined || theirs === undefined ? undefined : theirs / ours
}

/** Whether ours meets the goal. Undefined if one of the figures was not measured. */
export function isMet(row: Row, { against, min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY }: Goal) {
  const ours = row.figures[OURS]
  const value = against === undefined ? ours && median(ours) : ratio(row, against)
  return value === undefined ? undefined : value >= min && value <= max
}
