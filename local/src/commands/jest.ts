// How jest is called: on the Node that runs us, with ES modules, its results written to a file.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('../../..', import.meta.url))

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
    join(ROOT, 'node_modules', 'jest', 'bin', 'jest.js'),
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
