// The jest command line: with this Node, ES modules, and the results in a file.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { run } from '../servers/command.ts'

export const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
const JEST = join(ROOT, 'node_modules', 'jest', 'bin', 'jest.js')

/** The test files that jest would run. */
export async function listedTests(projects: readonly string[], args: readonly string[]): Promise<readonly string[]> {
  const options = ['--listTests', '--json', '--passWithNoTests', '--selectProjects', ...projects]
  return z.array(z.string()).parse(JSON.parse(await run(process.execPath, [JEST, ...args, ...options])))
}

/** The program and its arguments for these jest projects. `args` are filter words from the command line. */
export function jestCommand(
  projects: readonly string[],
  resultsFile: string,
  options: readonly string[],
  args: readonly string[],
): [string, ...string[]] {
  return [
    process.execPath,
    // Do not set these in NODE_OPTIONS: the processes that tests start would inherit them.
    '--experimental-vm-modules',
    '--disable-warning=ExperimentalWarning',
    JEST,
    // The words must come before the projects. After them, jest would parse a word as another project.
    ...args,
    // The words may match no test of these projects.
    ...(args.length > 0 ? ['--passWithNoTests'] : []),
    '--json',
    `--outputFile=${resultsFile}`,
    ...options,
    '--selectProjects',
    ...projects,
  ]
}
