// How jest is called: on the Node that runs us, with ES modules, its results written to a file.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { run } from '../servers/command.ts'

export const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
const JEST = join(ROOT, 'node_modules', 'jest', 'bin', 'jest.js')

/** The files of the tests that would be run. */
export async function listedTests(projects: readonly string[], args: readonly string[]): Promise<readonly string[]> {
  const options = ['--listTests', '--json', '--passWithNoTests', '--selectProjects', ...projects]
  return z.array(z.string()).parse(JSON.parse(await run(process.execPath, [JEST, ...args, ...options])))
}

/** The program and its arguments for these jest projects; `args` are words that narrow, from the command line. */
export function jestCommand(
  projects: readonly string[],
  resultsFile: string,
  options: readonly string[],
  args: readonly string[],
): [string, ...string[]] {
  return [
    process.execPath,
    // Not through NODE_OPTIONS: the processes that tests start would inherit it.
    '--experimental-vm-modules',
    '--disable-warning=ExperimentalWarning',
    JEST,
    // Before the projects: after them a word would be taken for one more project.
    ...args,
    // What narrows the one kind of tests may match none of the other.
    ...(args.length > 0 ? ['--passWithNoTests'] : []),
    '--json',
    `--outputFile=${resultsFile}`,
    ...options,
    '--selectProjects',
    ...projects,
  ]
}
