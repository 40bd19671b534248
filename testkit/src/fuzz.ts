// How long and from which seed the property tests run: modest by default, and as FUZZ_RUNS and FUZZ_SEED say (`npm run fuzz`).

export interface FuzzParameters {
  readonly numRuns: number
  readonly seed: number
}

/** The checks try the same cases each time, so that a change is blamed for its own faults only; `npm run fuzz` looks for new ones. */
const SEED_OF_CHECKS = 565_497_294

/** The parameters of a property that by default is tried `runs` times. */
export function fuzzParameters(runs: number): FuzzParameters {
  return { numRuns: wholeNumber('FUZZ_RUNS') ?? runs, seed: wholeNumber('FUZZ_SEED') ?? SEED_OF_CHECKS }
}

function wholeNumber(variable: 'FUZZ_RUNS' | 'FUZZ_SEED'): number | undefined {
  const text = process.env[variable]
  if (text === undefined || text === '') return undefined
  if (!/^\d{1,10}$/.test(text)) throw new Error(`${variable} must be a whole number`)
  return Number(text)
}
