// The number of cases and the seed of the property tests. FUZZ_RUNS and FUZZ_SEED override the defaults (`npm run fuzz`).

export interface FuzzParameters {
  readonly numRuns: number
  readonly seed: number
}

/** `npm run check` always runs the same cases, so a new failure is caused by a change. `npm run fuzz` searches with new seeds. */
const SEED_OF_CHECKS = 565_497_294

/** The parameters of a property that runs `runs` cases by default. */
export function fuzzParameters(runs: number): FuzzParameters {
  return { numRuns: wholeNumber('FUZZ_RUNS') ?? runs, seed: wholeNumber('FUZZ_SEED') ?? SEED_OF_CHECKS }
}

function wholeNumber(variable: 'FUZZ_RUNS' | 'FUZZ_SEED'): number | undefined {
  const text = process.env[variable]
  if (text === undefined || text === '') return undefined
  if (!/^\d{1,10}$/.test(text)) throw new Error(`${variable} must be a whole number`)
  return Number(text)
}
