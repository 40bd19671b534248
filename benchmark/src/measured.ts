// What the benchmark measures: rows of figures by contestant, and the alternating rounds that produce them.
import { z } from 'zod'

export const OURS = 'ours'
/** The other source tree of `--root`. */
export const OTHER_TREE = 'other tree'

/** Figures of all rounds by name. */
const series = z.record(z.string(), z.array(z.number()))

/** A limit for the ratio of ours to `against`, or for our own figure without `against`. */
const goal = z.object({ against: z.string().optional(), min: z.number().optional(), max: z.number().optional() })
export type Goal = z.infer<typeof goal>

/** One line of the result. It is part of the JSON file that `--compare` reads again. */
export const row = z.object({
  scenario: z.string(),
  what: z.string(),
  unit: z.string(),
  /** By contestant. */
  figures: series,
  /** CPU time per request or message in microseconds, by contestant and process. Steadier than a rate on a shared machine. */
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

/** A row of what `measuredBy` takes from the results. */
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

/** The median. */
export function median(figures: readonly number[]): number {
  const sorted = figures.toSorted((a, b) => a - b)
  const [below, above] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]]
  if (below === undefined || above === undefined) throw new Error('the median of nothing')
  return (below + above) / 2
}

/** Ours to `against`, by medians. Undefined when one of them was not measured. */
export function ratio({ figures }: Row, against: string): number | undefined {
  const [above, below] = [figures[OURS], figures[against]]
  return above?.length && below?.length ? median(above) / median(below) : undefined
}

/** CPU time of `against` for a request or message to ours, over all processes: like `ratio`, above 1 when ours is better. */
export function cpuRatio({ cpuUs }: Row, against: string): number | undefined {
  const totalOf = (name: string) =>
    Object.values(cpuUs[name] ?? {}).reduce<number | undefined>((sum, each) => (sum ?? 0) + median(each), undefined)
  const [ours, theirs] = [totalOf(OURS), totalOf(against)]
  return ours === undefined || theirs === undefined ? undefined : theirs / ours
}

/** Whether ours meets the goal. Undefined when it was not measured. */
export function isMet(row: Row, { against, min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY }: Goal) {
  const ours = row.figures[OURS]
  const value = against === undefined ? ours && median(ours) : ratio(row, against)
  return value === undefined ? undefined : value >= min && value <= max
}
