// Runs `simulate` with a mutation of the source, in a separate process.
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { runToEnd } from 'testkit'
import type { Mutation } from './mutations.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const PRELOAD = pathToFileURL(join(ROOT, 'acceptance', 'faults', 'mutate.mjs')).href

/** Resolves with the output of `simulate`, which stops at the first violation or after `seconds`. */
export async function simulateWith({ file, edits, faults }: Mutation, seconds: number, seed: number): Promise<string> {
  const args = [
    '--import',
    PRELOAD,
    '--disable-warning=ExperimentalWarning',
    join(ROOT, 'simulation', 'src', 'main.ts'),
  ]
  const options = ['--minutes', String(seconds / 60), '--seed', String(seed), '--faults', faults.join(','), '--no-keep']
  const { out, err } = await runToEnd({
    command: [process.execPath, ...args, ...options],
    env: {
      ...process.env,
      NODE_OPTIONS: '',
      IMS_MUTATION: JSON.stringify({ url: pathToFileURL(join(ROOT, file)).href, edits }),
    },
  })
  return out + err
}
