// `npm run soak`: attacks together with honest clients on private servers. Exit codes: 0 no violation · 1 a violation or a
// failed run · 64 usage.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { startServers } from 'testkit'
import { z } from 'zod'
import { interruptedBySignals, parseOptions, say } from '../faults/command-line.ts'
import { ROOT } from '../test/stack.ts'
import { attacks } from './attacks.ts'
import { summaryLine, tableLines, turnLine, violationLines } from './report.ts'
import { runSoak } from './run.ts'

const EXIT_USAGE = 64
const USAGE = `usage: npm run soak -- [--minutes M] [--seed N] [--mix WORD,WORD]
  --mix  only attacks whose name contains one of the words. Attacks:
         ${attacks.map(({ name }) => name).join(', ')}`

const number = z.string().transform(Number)
const options = z.object({
  seed: number.pipe(z.int().min(0)).default(() => Math.floor(Math.random() * 2 ** 31)),
  minutes: number.pipe(z.number().positive()).default(15),
  mix: z
    .string()
    .default('')
    .transform((text) => text.split(',').filter((word) => word !== ''))
    .refine(
      (words) => words.every((word) => attacks.some(({ name }) => name.includes(word))),
      'there is no such attack',
    ),
})

process.exitCode = await main(process.argv.slice(2))

async function main(args: string[]): Promise<number> {
  if (args.includes('--help')) {
    process.stdout.write(`${USAGE}\n`)
    return 0
  }
  const given = parseOptions(args, options)
  if (typeof given === 'string') {
    say(`✗ ${given}\n${USAGE}`)
    return EXIT_USAGE
  }
  const { seed, minutes, mix } = given
  const parent = join(ROOT, '.local')
  mkdirSync(parent, { recursive: true })
  const directory = mkdtempSync(join(parent, 'soak-'))
  const servers = await startServers({ directory, lifetime: 'process', onProgress: (text) => say(`… ${text}`) })
  try {
    say(`RabbitMQ ${servers.rabbitmq.version}, MySQL ${servers.mysql.version}, ${servers.mode}, seed ${seed}`)
    const onTurn = (turn: Parameters<typeof turnLine>[0]) => say(turnLine(turn))
    const soak = await runSoak({ servers, seed, minutes, mix, onTurn, interrupted: interruptedBySignals() })
    for (const line of [...tableLines(soak), ...violationLines(soak)]) say(line)
    const isGood = soak.violations.length === 0
    process.stdout.write(`${isGood ? '✓' : '✗'} ${summaryLine(soak, seed)}\n`)
    return isGood ? 0 : 1
  } catch (error) {
    say(`✗ seed ${seed}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
    return 1
  } finally {
    await servers.close({ deleteData: true })
    rmSync(directory, { recursive: true, force: true })
  }
}
