// `rabbitmqctl`: runs rabbitmqctl on the broker of the running suite, with its node name, cookie and ports.
import { join } from 'node:path'
import { isAlive } from 'testkit/processes/process-identity'
import { onTerminal } from 'testkit/processes/start'
import { ROOT } from 'testkit/runs/jest'
import { attachServers } from 'testkit/servers/index'
import { composeRuns, suiteMode } from '../suite/compose-suite.ts'
import { imsSuiteOrExplain } from '../suite/ims.ts'
import { readState } from '../suite/state.ts'

const EXIT_FAILURE = 1
const EXIT_UNAVAILABLE = 69

/** Exit codes: 0 done · 1 failed, with the reason on standard error · 69 no broker of this suite is running. */
export async function rabbitmqctl(args: string[]): Promise<number> {
  const suite = imsSuiteOrExplain(process.env)
  if (suite === undefined) return EXIT_FAILURE
  const state = readState(suite.directory)
  if (state?.mode === 'local' && isAlive(state.supervisor)) {
    const { rabbitmq } = await attachServers(join(suite.directory, 'servers'))
    try {
      process.stdout.write(await rabbitmq.ctl(...args))
      return 0
    } catch (error) {
      process.stderr.write(`✗ ${error instanceof Error ? error.message : String(error)}\n`)
      return EXIT_FAILURE
    }
  }
  if ((await suiteMode(process.env, suite.directory)) === 'docker' && (await composeRuns('rabbitmq', process.env)))
    return await onTerminal({
      command: ['docker', 'compose', '--project-directory', ROOT, 'exec', 'rabbitmq', 'rabbitmqctl', ...args],
    })
  process.stderr.write('✗ no broker of this suite is running: `npm run up` starts one\n')
  return EXIT_UNAVAILABLE
}
