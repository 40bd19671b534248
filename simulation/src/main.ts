// The command `simulate`: runs schedules for a time, or a number of them. Stops at the first that violates an invariant, and
// shrinks, prints and saves it.
import { readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { z } from 'zod'
import { cases, FILE_OF_CASES } from './cases.ts'
import { FAULTS, plan, readable } from './plan.ts'
import { run } from './run.ts'
import { search } from './search.ts'

const EXIT_FOUND = 1
const EXIT_USAGE = 64
const USAGE = `usage: simulate [--minutes M | --runs N] [--seed S] [--faults 'a,b'] [--no-keep] [--replay FILE]\nfaults: ${FAULTS.join(', ')}\n`

const whole = z
  .string()
  .regex(/^\d{1,9}$/)
  .transform(Number)
const options = z.object({
  minutes: z
    .string()
    .regex(/^\d+(\.\d+)?$/)
    .transform(Number)
    .optional(),
  runs: whole.optional(),
  seed: whole.default(() => Math.floor(Math.random() * 1e9)),
  faults: z
    .string()
    .transform((list) => list.split(','))
    .pipe(z.array(z.enum(FAULTS)))
    .optional(),
  'no-keep': z.boolean().optional(),
  replay: z.string().optional(),
})

process.exitCode = await main()

async function main(): Promise<number> {
  const parsed = options.safeParse(values())
  if (!parsed.success) {
    process.stderr.write(USAGE)
    return EXIT_USAGE
  }
  const { minutes, runs, seed, faults, replay } = parsed.data
  if (replay !== undefined) return await replayed(replay)
  const since = performance.now()
  const forMs = runs === undefined ? (minutes ?? 1) * 60_000 : undefined
  process.stdout.write(`schedules from seed ${seed}\n`)
  const { tried, failure } = await search({
    seed,
    ...(runs === undefined ? {} : { runs }),
    ...(forMs === undefined ? {} : { forMs }),
    ...(faults === undefined ? {} : { faults }),
  })
  const tookS = Math.round((performance.now() - since) / 1_000)
  process.stdout.write(`${tried} schedules in ${tookS} s\n`)
  if (failure === undefined) return 0
  const { plan: smallest, violation } = failure
  process.stdout.write(`✗ ${violation.invariant}: ${violation.details}\n${readable(smallest)}\n`)
  if (!parsed.data['no-keep']) {
    const kept = [...cases(), { name: violation.invariant, plan: smallest }]
    writeFileSync(FILE_OF_CASES, `${JSON.stringify(kept, undefined, 1)}\n`)
    process.stdout.write(`saved in ${FILE_OF_CASES}, which \`npm run check\` replays\n`)
  }
  return EXIT_FOUND
}

/** Runs the plan in a file. Prints the logs of all services, and the violated invariant if there is one. */
async function replayed(file: string): Promise<number> {
  const violation = await run(plan.parse(JSON.parse(readFileSync(file, 'utf8'))), (line) =>
    process.stdout.write(`${line}\n`),
  )
  process.stdout.write(violation ? `✗ ${violation.invariant}: ${violation.details}\n` : '✓ no invariant is violated\n')
  return violation ? EXIT_FOUND : 0
}

function values(): unknown {
  const text = { type: 'string' } as const
  try {
    const known = {
      minutes: text,
      runs: text,
      seed: text,
      faults: text,
      replay: text,
      'no-keep': { type: 'boolean' },
    } as const
    return parseArgs({ options: known }).values
  } catch {
    return undefined
  }
}
