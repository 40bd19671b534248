// Runs `simulate` on a mutated source, in its own process.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { Mutation } from './mutations.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const PRELOAD = pathToFileURL(join(ROOT, 'acceptance', 'faults', 'mutate.mjs')).href

/** Resolves with the simulator's output after it searched for `seconds`. */
export function simulateWith({ file, edits, faults }: Mutation, seconds: number, seed: number): Promise<string> {
  const args = [
    '--import',
    PRELOAD,
    '--disable-warning=ExperimentalWarning',
    join(ROOT, 'simulation', 'src', 'main.ts'),
  ]
  const options = ['--minutes', String(seconds / 60), '--seed', String(seed), '--faults', faults.join(','), '--no-keep']
  const child = spawn(process.execPath, [...args, ...options], {
    env: {
      ...process.env,
      NODE_OPTIONS: '',
      IMS_MUTATION: JSON.stringify({ url: pathToFileURL(join(ROOT, file)).href, edits }),
    },
  })
  return new Promise((resolve) => {
    let printed = ''
    const collect = (text: Buffer) => {
      printed += text.toString()
    }
    child.stdout.on('data', collect)
    child.stderr.on('data', collect)
    child.on('close', () => resolve(printed))
  })
}
