// `npm run doctor`: runs the doctor program on the running suite, with the passwords of all its users.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { isAlive } from 'testkit/processes/process-identity'
import { onTerminal } from 'testkit/processes/start'
import { ROOT } from 'testkit/runs/jest'
import { serversEnvironment } from 'testkit/servers-environment'
import { suiteMode } from '../suite/compose-suite.ts'
import { imsSuiteOrExplain } from '../suite/ims.ts'
import { serviceEnvironment } from '../suite/service-environment.ts'
import { readState } from '../suite/state.ts'

const EXIT_FAILURE = 1
const EXIT_UNAVAILABLE = 69
const PROGRAM = join('consumer_two', 'src', 'doctor.ts')

/** Exit codes: those of the program · 69 no suite is running, and the environment names no server. */
export async function doctorCommand(args: string[]): Promise<number> {
  const run = (env: NodeJS.ProcessEnv, ...more: string[]) =>
    onTerminal({ command: [process.execPath, join(ROOT, PROGRAM), ...more, ...args], cwd: ROOT, env })
  // Servers in the environment take precedence over a running suite.
  const namesServers = ['RABBITMQ_HOST', 'MYSQL_HOST'].every((name) => process.env[name] || process.env[`${name}_FILE`])
  if (args.includes('--help') || namesServers) return await run(process.env)
  const suite = imsSuiteOrExplain(process.env)
  if (suite === undefined) return EXIT_FAILURE
  const state = readState(suite.directory)
  if (state?.rabbitmq && state.mysql && isAlive(state.supervisor)) {
    const env = serviceEnvironment(process.env, serversEnvironment({ rabbitmq: state.rabbitmq, mysql: state.mysql }))
    const accounts = join(suite.directory, 'servers', 'accounts')
    return await run(env, ...(existsSync(accounts) ? ['--accounts', accounts] : []))
  }
  // The service `doctor` of the compose project has the passwords, and can connect to both servers.
  if ((await suiteMode(process.env, suite.directory)) === 'docker')
    return await onTerminal({ command: ['docker', 'compose', ...IN_COMPOSE, ...args], cwd: ROOT })
  process.stderr.write('✗ no suite runs here: start one with `npm run up`, or set RABBITMQ_HOST and MYSQL_HOST\n')
  return EXIT_UNAVAILABLE
}

const IN_COMPOSE = [
  '--project-directory',
  ROOT,
  'run',
  '--rm',
  'doctor',
  'node',
  PROGRAM,
  '--accounts',
  '/run/accounts',
]
