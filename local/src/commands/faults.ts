// `faults`: the fault ledger of acceptance/faults, as a process of its own.
import { fileURLToPath } from 'node:url'
import { runInForeground } from './foreground.ts'

const MAIN = fileURLToPath(new URL('../../../acceptance/faults/main.ts', import.meta.url))

/** Exit codes: those of acceptance/faults/main.ts. */
export async function faults(args: string[]): Promise<number> {
  return await runInForeground(process.execPath, [MAIN, ...args], process.env)
}
