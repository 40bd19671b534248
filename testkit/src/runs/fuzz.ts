// `fuzz`: runs only the property tests, with and without servers, with the given number of runs and seed.
import { parseArgs } from 'node:util'
import { interruptedBySignals, testsOnServers } from './test.ts'

const EXIT_USAGE = 64
const EXIT_INTERRUPTED = 130
const RUNS = '2000'

/** Exit codes: 0 all properties hold · 1 a property fails · 64 wrong arguments · 69 no servers available · 130 interrupted. */
export async function fuzz(args: string[]): Promise<number> {
  const options = parsed(args)
  if (options === undefined) {
    process.stderr.write('usage: fuzz [--runs N] [--seed S] [word of a test file]…\n')
    return EXIT_USAGE
  }
  const { runs = RUNS, seed = String(Math.floor(Math.random() * 2 ** 31)), words } = options
  process.env.FUZZ_RUNS = runs
  process.env.FUZZ_SEED = seed
  const again = `npm run fuzz -- ${['--runs', runs, '--seed', seed, ...words].join(' ')}`
  process.stdout.write(`${runs} runs of each property from seed ${seed}\n`)
  const interrupted = interruptedBySignals()
  // The file names of property tests start with `fuzz-`.
  const paths = words.length === 0 ? ['/fuzz-'] : words.map((word) => `/fuzz-[^/]*${word}`)
  const { passed, failed } = await testsOnServers(paths, interrupted, [['unit', 'integration', 'acceptance']])
  const isGood = failed === 0 && passed > 0
  process.stdout.write(isGood ? `✓ ${passed} properties hold (seed ${seed})\n` : `✗ to repeat: ${again}\n`)
  return interrupted.aborted ? EXIT_INTERRUPTED : isGood ? 0 : 1
}

function parsed(args: string[]): { runs?: string; seed?: string; words: string[] } | undefined {
  try {
    const options = { runs: { type: 'string' }, seed: { type: 'string' } } as const
    const { values, positionals: words } = parseArgs({ args, options, allowPositionals: true })
    const isWhole = [values.runs, values.seed].every((value) => value === undefined || /^\d{1,9}\d?$/.test(value))
    return isWhole && words.every((word) => /^[\w-]+$/.test(word)) ? { ...values, words } : undefined
  } catch {
    return undefined
  }
}
