// `npm run up`: runs the whole suite in the foreground, or with --detach in the background.
import { fileURLToPath } from 'node:url'
import { startInBackground } from './background.ts'
import { composeUp, suiteMode } from './compose-suite.ts'
import { ownScreen, showOn } from './display.ts'
import { imsSuiteOrExplain } from './ims.ts'
import { readFlags } from './options.ts'
import { runSuite } from './run-suite.ts'
import { listenForSignals } from './stop-request.ts'
import { nameWidth } from './suite.ts'

const FLAGS = { detach: 'return when everything is ready; `npm run down` stops it' }

/** Exit codes: 0 up, already up, or stopped on request · 1 failed · 2 wrong arguments · 130 interrupted before it was up. */
export async function up(args: readonly string[]): Promise<number> {
  const flags = readFlags('up', args, FLAGS)
  if ('exitCode' in flags) return flags.exitCode
  const suite = imsSuiteOrExplain(process.env)
  if (suite === undefined) return 1
  if ((await suiteMode(process.env, suite.directory)) === 'docker')
    return await composeUp(process.env, { detach: flags.set.has('detach'), stop: listenForSignals().stop })
  const report = showOn(ownScreen(), nameWidth(suite))
  const request = listenForSignals()
  if (!flags.set.has('detach')) return await runSuite(suite, report, request)
  const entry = fileURLToPath(new URL('ims-background.ts', import.meta.url))
  return await startInBackground(entry, suite.directory, report, request)
}
