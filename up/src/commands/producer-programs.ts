// `dead-letters` and `message`: run the producer's program of the same name on the broker of the running suite.
import { join } from 'node:path'
import { isAlive } from 'testkit/processes/process-identity'
import { onTerminal } from 'testkit/processes/start'
import { ROOT } from 'testkit/runs/jest'
import { serversEnvironment } from 'testkit/servers-environment'
import { composeRuns, suiteMode } from '../suite/compose-suite.ts'
import { logDirectory } from '../suite/fleet.ts'
import { imsSuiteOrExplain } from '../suite/ims.ts'
import { serviceEnvironment } from '../suite/service-environment.ts'
import { readState } from '../suite/state.ts'

const EXIT_FAILURE = 1
const EXIT_UNAVAILABLE = 69
const NEEDS_NO_BROKER = ['--help', 'help']

/** Exit codes: those of the program · 69 no suite is running, and the environment names no broker. */
export const deadLettersCommand = (args: string[]): Promise<number> => onItsBroker('dead-letters.ts', args)
export const messageCommand = (args: string[]): Promise<number> => onItsBroker('message.ts', args)

async function onItsBroker(file: string, args: readonly string[]): Promise<number> {
  const program = join('producer', 'src', file)
  const node = { command: [process.execPath, join(ROOT, program), ...args], cwd: ROOT } as const
  const isHelp = args.length === 0 || args.some((each) => NEEDS_NO_BROKER.includes(each))
  // A broker in the environment takes precedence over a running suite.
  if (isHelp || Object.keys(process.env).some((name) => /^RABBITMQ_(HOST|PORT|USERNAME|VHOST)(_FILE)?$/.test(name)))
    return await onTerminal(node)
  const suite = imsSuiteOrExplain(process.env)
  if (suite === undefined) return EXIT_FAILURE
  const state = readState(suite.directory)
  // A killed suite leaves a state file with passwords and ports. Any process may listen on these ports now.
  if (state?.rabbitmq && state.mysql && isAlive(state.supervisor)) {
    const servers = serversEnvironment({ rabbitmq: state.rabbitmq, mysql: state.mysql })
    const ours = { DEAD_LETTERS_LOG: join(logDirectory(suite.directory), 'dead-letters.log'), ...servers }
    return await onTerminal({ ...node, env: serviceEnvironment(process.env, ours) })
  }
  // With compose, the broker is reachable only in its network, so the program runs in the producer's container.
  if ((await suiteMode(process.env, suite.directory)) === 'docker' && (await composeRuns('producer', process.env)))
    return await onTerminal({ command: ['docker', ...composeExec(), 'node', program, ...args], cwd: ROOT })
  process.stderr.write('✗ no suite runs here: start one with `npm run up`, or set RABBITMQ_HOST\n')
  return EXIT_UNAVAILABLE
}

/** The container gets a terminal only if this process has one. Otherwise the output goes to a file or another program. */
function composeExec(): string[] {
  const isTerminal = process.stdin.isTTY && process.stdout.isTTY
  return ['compose', '--project-directory', ROOT, 'exec', ...(isTerminal ? [] : ['-T']), 'producer']
}
