// `faults`: the fault ledger of acceptance/faults, and `simulate`: the simulation of simulation/, as processes of their own.
import { fileURLToPath } from 'node:url'
import { runInForeground } from './foreground.ts'

const ROOT = new URL('../../../', import.meta.url)

/** Exit codes: those of acceptance/faults/main.ts. */
export async function faults(args: string[]): Promise<number> {
  return await runInForeground(
    process.execPath,
    [fileURLToPath(new URL('acceptance/faults/main.ts', ROOT)), ...args],
    process.env,
  )
}

/** Exit codes: those of simulation/src/main.ts. */
export async function simulate(args: string[]): Promise<number> {
  const main = fileURLToPath(new URL('simulation/src/main.ts', ROOT))
  return await runInForeground(process.execPath, [main, ...args], process.env)
}
