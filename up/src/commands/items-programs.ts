// `import` and `export`: run the producer's program of the same name on the API of the running suite.
import { join } from 'node:path'
import { isAlive } from 'testkit/processes/process-identity'
import { onTerminal } from 'testkit/processes/start'
import { ROOT } from 'testkit/runs/jest'
import { imsSuiteOrExplain } from '../suite/ims.ts'
import { readState } from '../suite/state.ts'

const EXIT_FAILURE = 1

/** Exit codes: those of the program. */
export const importCommand = (args: string[]): Promise<number> => onItsApi('import.ts', args)
export const exportCommand = (args: string[]): Promise<number> => onItsApi('export.ts', args)

async function onItsApi(file: string, args: readonly string[]): Promise<number> {
  const url = process.env.API_URL || apiOfSuite()
  if (url === undefined) return EXIT_FAILURE
  const command = [process.execPath, join(ROOT, 'producer', 'src', file), ...args] as const
  // npm changes to the root of the project, but paths are relative to the user's directory.
  return await onTerminal({
    command: [...command],
    cwd: process.env.INIT_CWD || process.cwd(),
    env: { ...process.env, API_URL: url },
  })
}

/** The URL of the suite that runs as processes. If there is none, the address at which Docker Compose publishes the API. */
function apiOfSuite(): string | undefined {
  const suite = imsSuiteOrExplain(process.env)
  if (suite === undefined) return undefined
  const state = readState(suite.directory)
  return state !== undefined && isAlive(state.supervisor) ? state.http : suite.http
}
