// `faults`, `soak`, `on-call`, `simulate`: each runs its program in its own process.
import { fileURLToPath } from 'node:url'
import { onTerminal } from 'testkit/processes/start'

const ROOT = new URL('../../..', import.meta.url)

/** Exit codes: those of acceptance/faults/main.ts. */
export const faults = programAt('acceptance/faults/main.ts')
/** Exit codes: those of acceptance/soak/main.ts. */
export const soak = programAt('acceptance/soak/main.ts')
/** Exit codes: those of acceptance/on-call/main.ts. */
export const onCall = programAt('acceptance/on-call/main.ts')
/** Exit codes: those of simulation/src/main.ts. */
export const simulate = programAt('simulation/src/main.ts')

function programAt(path: string): (args: string[]) => Promise<number> {
  return (args) => onTerminal({ command: [process.execPath, fileURLToPath(new URL(path, ROOT)), ...args] })
}
