// How many cases the property tests run, and from which seed. FUZZ_RUNS and FUZZ_SEED override the defaults (`npm run fuzz`).

export interface FuzzParameters {
  readonly numRuns: number
  readonly seed: number
}

/** `npm run check` tries the same cases each time, so a failure is due to the change. `npm run fuzz` looks for new failures. */
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
