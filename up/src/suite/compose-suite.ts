// `up`, `down`, `status` and `logs` on a Docker engine. They use the compose project of the repository.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isLoopback } from '@ims/runtime'
import { isAlive } from 'testkit/processes/process-identity'
import { start } from 'testkit/processes/start'
import { run, succeeds } from 'testkit/servers/command'
import { dockerAnswers, modeByEnvironment } from 'testkit/servers/mode'
import type { Mode } from 'testkit/servers/servers'
import { z } from 'zod'
import { callsToTry } from './banner.ts'
import { StepFailed } from './progress.ts'
import { readSettings } from './settings.ts'
import { readState } from './state.ts'
import { STATUS_EXIT } from './status-report.ts'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
const ASKED_WITHIN_MS = 15_000
const ENDS_BY_ITSELF = ['accounts', 'migrate']

/**
 * Selects how the suite runs. The first matching rule applies: the mode that the environment sets; processes if one of the
 * suite's processes runs, or a local suite has data; docker compose if an engine and compose respond; otherwise processes.
 */
export async function suiteMode(
  environment: NodeJS.ProcessEnv,
  directory: string,
  hasCompose: () => Promise<boolean> = composeAnswers,
): Promise<Mode> {
  const forced = modeByEnvironment(environment)
  if (forced !== undefined) return forced
  // A suite on external servers has no data here, and another terminal may not have its variables.
  if (runsAsProcesses(directory)) return 'local'
  if (existsSync(join(directory, 'servers', 'servers.json'))) return 'local'
  return (await hasCompose()) ? 'docker' : 'local'
}

const composeAnswers = async (): Promise<boolean> =>
  (await dockerAnswers()) && (await succeeds('docker', ['compose', 'version'], ASKED_WITHIN_MS))

function runsAsProcesses(directory: string): boolean {
  const state = readState(directory)
  const processes = [state?.supervisor, ...(state?.services ?? []).map(({ process }) => process)]
  return processes.some((each) => each != null && isAlive(each))
}

/** Starts `docker compose ARGS` on the terminal, in its own process group. Ctrl-C reaches only this process, which stops everything in order. */
function startCompose(env: NodeJS.ProcessEnv, ...args: string[]) {
  return start({ command: ['docker', 'compose', ...args], cwd: ROOT, env, stdio: 'inherit', ownGroup: true })
}

async function composeOnTerminal(env: NodeJS.ProcessEnv, ...args: string[]): Promise<number> {
  return (await startCompose(env, ...args).ended).code ?? 1
}

/**
 * The environment for docker compose, where HTTP_HOST is called HTTP_ADDRESS. If the address is not a loopback address, the
 * environment allows any host name, as the suite does when it runs as processes.
 */
export function composeEnvironment(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { port, httpHost } = readSettings(environment)
  const elsewhere = isLoopback(httpHost) ? {} : { HTTP_ADDRESS: httpHost, HTTP_ALLOWED_HOSTS: '*' }
  return { ...elsewhere, ...environment, PORT: String(port) }
}

/** Requires API keys, or API_KEYS=open, if the address is not a loopback address. The compose project has no such check. */
function requireApiKeys({ HTTP_HOST = '', API_KEYS, API_KEYS_FILE }: NodeJS.ProcessEnv): void {
  if (HTTP_HOST === '' || isLoopback(HTTP_HOST) || API_KEYS || API_KEYS_FILE) return
  throw new StepFailed(
    `HTTP_HOST=${HTTP_HOST} is not a loopback address.`,
    'Set API_KEYS_FILE, or API_KEYS=open to allow everybody.',
  )
}

/**
 * Builds and starts the containers, and waits until they are healthy. Without `detach`, shows the logs until `stop`. Exit
 * codes: 0 up, or stopped on request · 1 failed.
 */
export async function composeUp(
  environment: NodeJS.ProcessEnv,
  { detach, stop }: { detach: boolean; stop: AbortSignal },
): Promise<number> {
  const env = composeEnvironment(environment)
  requireApiKeys(environment)
  print(
    '… docker compose up --build --wait: takes minutes the first time, later seconds (without containers: IMS_SERVICES=local)',
  )
  const code = await composeOnTerminal(env, 'up', '--build', '--wait')
  if (stop.aborted) return await composeDown(env, { deleteData: false })
  if (code !== 0) {
    print('✗ not all containers are healthy. The last lines of those that are not:')
    const unhealthy = (await containers(env)).filter(({ isHealthy }) => !isHealthy).map(({ service }) => service)
    await composeOnTerminal(env, 'logs', '--tail', '10', ...unhealthy)
    print('  What to do: read the lines above. `npm run down` removes the containers and keeps the data.')
    return 1
  }
  print(banner(readSettings(environment).http, env.RABBITMQ_MANAGEMENT_PORT ?? '15672'))
  if (detach) return 0
  await composeLogs(environment, [], stop)
  return await composeDown(env, { deleteData: false })
}

/** Stops and removes the containers, and with `deleteData` their volumes. Exit codes: 0 stopped · 1 failed. */
export async function composeDown(
  environment: NodeJS.ProcessEnv,
  { deleteData }: { deleteData: boolean },
): Promise<number> {
  const env = composeEnvironment(environment)
  const code = await composeOnTerminal(env, 'down', ...(deleteData ? ['--volumes'] : []))
  if (code === 0) print(deleteData ? 'stopped; all data was deleted' : 'stopped; the data is kept')
  return code === 0 ? 0 : 1
}

/** Follows the logs of these services, or of all services if the list is empty, until `stop`. */
export async function composeLogs(
  environment: NodeJS.ProcessEnv,
  services: readonly string[],
  stop: AbortSignal,
): Promise<number> {
  const args = ['logs', '--follow', '--tail', '10', ...services]
  const { child, ended } = startCompose(composeEnvironment(environment), ...args)
  const end = () => child.kill()
  stop.addEventListener('abort', end)
  if (stop.aborted) end()
  const { code } = await ended
  return stop.aborted ? 0 : (code ?? 1)
}

/** True when the compose project has a container for this service. */
export async function composeRuns(service: string, environment: NodeJS.ProcessEnv): Promise<boolean> {
  return (await containers(composeEnvironment(environment))).some((each) => each.service === service)
}

/** Prints the state of each container. Exit codes: 0 all are ready · 3 none is running · 4 one is not ready. */
export async function composeStatus(environment: NodeJS.ProcessEnv, { json }: { json: boolean }): Promise<number> {
  const found = await containers(composeEnvironment(environment))
  const { http } = readSettings(environment)
  const running = found.filter(({ service }) => !ENDS_BY_ITSELF.includes(service))
  const services = found.map(({ service, name, state }) => ({ service, name, state }))
  const width = Math.max(0, ...found.map(({ name }) => name.length))
  const lines = found.map(({ name, state }) => `${name.padEnd(width)}  ${state}`)
  if (json) print(JSON.stringify({ http: running.length === 0 ? null : http, services }))
  else
    print(running.length === 0 ? 'nothing is running; `npm run up` starts the suite' : [...lines, '', http].join('\n'))
  if (running.length === 0) return STATUS_EXIT.notRunning
  return found.every(({ isHealthy }) => isHealthy) ? STATUS_EXIT.ready : STATUS_EXIT.degraded
}

const listed = z.object({
  Name: z.string(),
  Service: z.string(),
  State: z.string(),
  Health: z.string(),
  ExitCode: z.int(),
})

async function containers(env: NodeJS.ProcessEnv) {
  const text = (
    await run('docker', ['compose', '--project-directory', ROOT, 'ps', '--all', '--format', 'json'], { env })
  ).trim()
  const lines = text === '' ? [] : text.split('\n')
  return lines.map((line) => {
    const { Name, Service, State, Health, ExitCode } = listed.parse(JSON.parse(line))
    const isHealthy = ENDS_BY_ITSELF.includes(Service) ? State === 'exited' && ExitCode === 0 : Health === 'healthy'
    const state =
      State === 'running' ? Health : ENDS_BY_ITSELF.includes(Service) && isHealthy ? 'done' : `${State} (${ExitCode})`
    return { name: Name, service: Service, state, isHealthy }
  })
}

function banner(http: string, managementPort: string): string {
  return [
    '',
    'The suite is up.',
    `  HTTP        ${http} (a browser shows the console)`,
    `  Management  http://127.0.0.1:${managementPort}, user operator, password: docker compose exec rabbitmq cat /run/accounts/operator-password`,
    '  Logs        docker compose logs --follow [service]',
    '',
    'Try it:',
    ...callsToTry(http).map((call) => `  ${call}`),
    '',
    '`npm run status` shows its state. `npm run down`, or Ctrl-C in the foreground, stops it and keeps the data.',
  ].join('\n')
}

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}
