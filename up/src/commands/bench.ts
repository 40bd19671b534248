// `bench`: runs the benchmark in its own process.
import { fileURLToPath } from 'node:url'
import { onTerminal } from 'testkit/processes/start'

const MAIN = fileURLToPath(new URL('../../../benchmark/src/main.ts', import.meta.url))

/** Exit codes: those of benchmark/src/main.ts. */
export async function bench(args: string[]): Promise<number> {
  return await onTerminal({ command: [process.execPath, MAIN, ...args] })
}
