// The real suite: the consumers and the producer, on RabbitMQ and MySQL.
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { services } from '@ims/accounts/suite'
import { leanNode } from 'testkit/lean-node'
import { attachServers, serverLogs, startServers } from 'testkit/servers/index'
import { modeByEnvironment } from 'testkit/servers/mode'
import { ServersUnavailable } from 'testkit/servers/servers'
import { prepareAccounts, removeAccounts } from './accounts.ts'
import type { ServiceSpec } from './child.ts'
import { supervisorLog } from './fleet.ts'
import { StepFailed } from './progress.ts'
import { serviceEnvironment, suiteVariables } from './service-environment.ts'
import { readSettings, type Settings } from './settings.ts'
import type { Suite, SuiteServers } from './suite.ts'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))

const READY_MS = 90_000

/** After the services' own shutdown timeout, the supervisor waits this long before it sends SIGKILL. */
const KILL_AFTER_DEADLINE_MS = 5_000

const RESTART = { firstMs: 500, longestMs: 30_000, forgottenAfterMs: 60_000 }

/** The suite as the environment configures it. Throws StepFailed when a setting is wrong. */
export function imsSuite(environment: NodeJS.ProcessEnv): Suite {
  const settings = readSettings(environment)
  const directory = resolve(ROOT, settings.directory ?? join('.local', 'up'))
  const serversDirectory = join(directory, 'servers')
  const firstAdminPort = Math.min(...services.map(({ adminPort }) => adminPort))
  const admins = services.map(({ name, adminPort }) => ({
    name,
    admin: settings.adminPortBase + adminPort - firstAdminPort,
  }))
  return {
    directory,
    http: settings.http,
    admins,
    ports: [
      { port: settings.port, host: settings.httpHost, purpose: 'producer (HTTP)', variable: 'PORT' },
      ...admins.map(({ name, admin }) => ({
        port: admin,
        host: '127.0.0.1',
        purpose: `${name} (admin)`,
        variable: 'ADMIN_PORT_BASE',
      })),
    ],
    endlessLogs: [supervisorLog(directory), ...serverLogs(serversDirectory)],
    services: (servers) => admins.map((admin) => serviceOf(admin, servers, settings, environment)),
    startServers: (onProgress) => startOurServers(serversDirectory, environment, onProgress),
    clearServers: (options) => clearServers(serversDirectory, options),
    migrate: (servers, detail) => migrateOn(servers, settings, environment, detail),
    readyMs: READY_MS,
    stopMs: settings.shutdownTimeoutMs + KILL_AFTER_DEADLINE_MS,
    restart: RESTART,
  }
}

/** Like imsSuite, but if a setting is wrong, prints the error and returns undefined. */
export function imsSuiteOrExplain(environment: NodeJS.ProcessEnv): Suite | undefined {
  try {
    return imsSuite(environment)
  } catch (error) {
    if (!(error instanceof StepFailed)) throw error
    process.stderr.write(`✗ settings\n  Why: ${error.message}\n  What to do: ${error.todo}\n`)
    return undefined
  }
}

function serviceOf(
  { name, admin }: { name: string; admin: number },
  servers: SuiteServers,
  settings: Settings,
  environment: NodeJS.ProcessEnv,
): ServiceSpec {
  const ours = { ...suiteVariables(name, servers, settings), ADMIN_PORT: String(admin) }
  return {
    name,
    command: [process.execPath, join(ROOT, name, 'src', 'main.ts')],
    cwd: ROOT,
    env: { ...leanNode, ...serviceEnvironment(environment, ours) },
    adminPort: admin,
  }
}

/** Starts the servers. If this machine cannot run them, throws StepFailed with a message that says what to do. */
async function startOurServers(
  directory: string,
  environment: NodeJS.ProcessEnv,
  onProgress: (text: string) => void,
): Promise<SuiteServers> {
  try {
    // The mode is never Docker here: with a Docker engine, the whole suite runs in containers (compose-suite.ts).
    const servers = await startServers({ directory, mode: modeByEnvironment(environment) ?? 'local', onProgress })
    if (servers.mode !== 'local') return servers
    try {
      return { ...servers, accountOf: await prepareAccounts(directory, servers) }
    } catch (error) {
      // The caller does not know these servers yet, so nobody else would stop them.
      await servers.close({ deleteData: false })
      throw error
    }
  } catch (error) {
    if (error instanceof ServersUnavailable) throw new StepFailed(error.message, '', { cause: error })
    throw error
  }
}

async function migrateOn(
  servers: SuiteServers,
  settings: Settings,
  environment: NodeJS.ProcessEnv,
  detail: (text: string) => void,
): Promise<{ applied: readonly string[] }> {
  // These modules are imported only when needed, so that `status` and `down` start faster.
  const { migrate, mysqlEnvironment } = await import('@ims/repository')
  const { InvalidEnvironment, parseEnvironment } = await import('@ims/runtime')
  const variables = serviceEnvironment(environment, suiteVariables('migrate', servers, settings))
  let config: ReturnType<typeof mysqlEnvironment.parse>
  try {
    config = parseEnvironment({ mysql: mysqlEnvironment }, variables).mysql
  } catch (error) {
    if (!(error instanceof InvalidEnvironment)) throw error
    throw new StepFailed(error.problems.join('\n'), 'Correct these environment variables, then run the command again.')
  }
  const show = (_: object, text: string) => detail(text)
  // Shows only warnings and errors. The applied migrations are in the result.
  return await migrate(config, { debug: () => {}, info: () => {}, warn: show, error: show })
}

async function clearServers(directory: string, { deleteData }: { deleteData: boolean }): Promise<string> {
  if (!existsSync(join(directory, 'servers.json'))) return 'RabbitMQ and MySQL: this suite has no data'
  const servers = await attachServers(directory)
  await servers.close({ deleteData })
  if (deleteData) removeAccounts(directory)
  return deleteData ? 'RabbitMQ and MySQL stopped; their data was deleted' : 'RabbitMQ and MySQL stopped'
}
