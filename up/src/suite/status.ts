// `npm run status`: prints the processes of the suite with their states and addresses, as a table or as JSON.
import { composeStatus, suiteMode } from './compose-suite.ts'
import { imsSuiteOrExplain } from './ims.ts'
import { readFlags } from './options.ts'
import { statusOf } from './status-report.ts'
import { statusTable } from './status-table.ts'

const FLAGS = { json: 'print JSON for scripts, passwords included' }

/** Exit codes: 0 all processes are ready · 3 nothing is running · 4 one is not ready · 1 wrong settings · 2 wrong arguments. */
export async function status(args: readonly string[]): Promise<number> {
  const flags = readFlags('status', args, FLAGS)
  if ('exitCode' in flags) return flags.exitCode
  const suite = imsSuiteOrExplain(process.env)
  if (suite === undefined) return 1
  const json = flags.set.has('json')
  if ((await suiteMode(process.env, suite.directory)) === 'docker') return await composeStatus(process.env, { json })
  const found = await statusOf(suite)
  process.stdout.write(`${json ? JSON.stringify(found.report) : statusTable(found)}\n`)
  return found.exitCode
}
