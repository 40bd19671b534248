// The status of the suite, from the state file, the processes, and the /readyz of the services.

import { isAlive } from 'testkit/processes/process-identity'
import { mysqlVersion, rabbitmqVersion } from 'testkit/servers/handshake'
import type { z } from 'zod'
import { askReadiness, type Readiness } from './readiness.ts'
import { type mysqlAddress, type ProcessState, type rabbitmqAddress, readState, type SuiteState } from './state.ts'
import type { Suite } from './suite.ts'

/** The output of `status -- --json`. The addresses are null while nothing is running. */
export interface StatusReport {
  http: string | null
  rabbitmq: z.infer<typeof rabbitmqAddress> | null
  mysql: z.infer<typeof mysqlAddress> | null
  /** RabbitMQ and MySQL, if `up` started them. Empty when they are external. */
  servers: { name: string; pid: number | null; state: ServiceCondition }[]
  services: { name: string; pid: number | null; admin: number; state: ServiceCondition }[]
}
export type ServiceCondition = 'starting' | 'ready' | 'not-ready' | 'restarting' | 'stopped'

/** Exit codes of `status`. */
export const STATUS_EXIT = { ready: 0, notRunning: 3, degraded: 4 } as const

export interface Status {
  readonly report: StatusReport
  readonly exitCode: (typeof STATUS_EXIT)[keyof typeof STATUS_EXIT]
  /** One sentence that sums up the status. */
  readonly summary: string
  readonly mode: string | null
  /** One entry for each server, then for each service, in the order of the report. */
  readonly remarks: readonly Remark[]
}

export interface Remark {
  readonly reason: string
  readonly restarts: number
}

/** Determines the current status of the suite. */
export async function statusOf(suite: Suite): Promise<Status> {
  const state = readState(suite.directory)
  const supervised = state !== undefined && isAlive(state.supervisor)
  const leftOver = state?.services.some(({ process: identity }) => identity !== null && isAlive(identity)) === true
  if (state === undefined || !(supervised || leftOver)) return notRunning(suite)
  const [servers, services] = await Promise.all([
    Promise.all(state.servers.map((server) => seen(server, supervised, async () => askServer(server.name, state)))),
    Promise.all(
      state.services.map(async (service) => ({
        ...(await seen(service, supervised, () => askReadiness(service.admin))),
        admin: service.admin,
      })),
    ),
  ])
  const all = [...servers, ...services]
  const allReady = supervised && state.phase === 'up' && all.every((each) => each.state === 'ready')
  return {
    report: {
      http: state.http,
      rabbitmq: state.rabbitmq,
      mysql: state.mysql,
      servers: servers.map(({ name, pid, state }) => ({ name, pid, state })),
      services: services.map(({ name, pid, admin, state }) => ({ name, pid, admin, state })),
    },
    exitCode: allReady ? STATUS_EXIT.ready : STATUS_EXIT.degraded,
    summary: summaryOf(supervised ? state.phase : 'left over', allReady, state.http),
    mode: state.mode,
    remarks: all.map(({ reason, restarts }) => ({ reason, restarts })),
  }
}

function notRunning({ admins }: Suite): Status {
  return {
    report: {
      http: null,
      rabbitmq: null,
      mysql: null,
      servers: [],
      services: admins.map(({ name, admin }) => ({ name, pid: null, admin, state: 'stopped' })),
    },
    exitCode: STATUS_EXIT.notRunning,
    summary: 'Nothing is running. `npm run up` starts the suite.',
    mode: null,
    remarks: admins.map(() => ({ reason: '', restarts: 0 })),
  }
}

type Seen = Remark & { readonly name: string; readonly pid: number | null; readonly state: ServiceCondition }

async function seen(
  { name, process: identity, state, lastEnd, restarts }: ProcessState,
  supervised: boolean,
  ask: () => Promise<Readiness>,
): Promise<Seen> {
  if (identity !== null && isAlive(identity)) return { name, pid: identity.pid, restarts, ...(await ask()) }
  if (!supervised || state === 'stopped') return { name, pid: null, restarts, state: 'stopped', reason: '' }
  return { name, pid: null, restarts, state: 'restarting', reason: lastEnd }
}

/** Checks whether the server responds in its protocol. A frozen or starting server does not. */
async function askServer(name: string, { rabbitmq, mysql }: SuiteState): Promise<Readiness> {
  const [where, ask] = name === 'MySQL' ? ([mysql, mysqlVersion] as const) : ([rabbitmq, rabbitmqVersion] as const)
  if (where === null || (await ask(where.host, where.port)) !== undefined) return { state: 'ready', reason: '' }
  return { state: 'not-ready', reason: `${where.host}:${where.port} does not respond` }
}

function summaryOf(phase: string, allReady: boolean, http: string): string {
  if (allReady) return `The suite is up: ${http}`
  switch (phase) {
    case 'starting':
      return 'The suite is starting.'
    case 'stopping':
      return 'The suite is stopping.'
    case 'up':
      return `The suite is up, but not everything is ready: ${http}`
    default:
      return 'The supervisor has exited, but its services still run. `npm run down` stops them; `npm run up` restarts the suite.'
  }
}
