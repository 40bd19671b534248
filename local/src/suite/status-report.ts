// How the suite is: what the state file says, checked against the processes and their /readyz.
import type { z } from 'zod'
import { isAlive } from './process-identity.ts'
import { askReadiness } from './readiness.ts'
import { type mysqlAddress, type rabbitmqAddress, readState, type ServiceState } from './state.ts'
import type { Suite } from './suite.ts'

/** What `status -- --json` prints; the addresses are null while nothing is running. */
export interface StatusReport {
  http: string | null
  rabbitmq: z.infer<typeof rabbitmqAddress> | null
  mysql: z.infer<typeof mysqlAddress> | null
  services: { name: string; pid: number | null; admin: number; state: ServiceCondition }[]
}
export type ServiceCondition = 'starting' | 'ready' | 'not-ready' | 'restarting' | 'stopped'

/** Exit codes of `status`: all ready · nothing running · something is not as it should be. */
export const STATUS_EXIT = { ready: 0, notRunning: 3, degraded: 4 } as const

export interface Status {
  readonly report: StatusReport
  readonly exitCode: (typeof STATUS_EXIT)[keyof typeof STATUS_EXIT]
  /** One sentence on the whole. */
  readonly summary: string
  readonly mode: string | null
  /** For each service, in the order of the report: why it is as it is, and how often it was started again. */
  readonly remarks: readonly { reason: string; restarts: number }[]
}

/** Looks at the suite as it is now. */
export async function statusOf(suite: Suite): Promise<Status> {
  const state = readState(suite.directory)
  const supervised = state !== undefined && isAlive(state.supervisor)
  const leftOver = state?.services.some(({ process: identity }) => identity !== null && isAlive(identity)) === true
  if (state === undefined || !(supervised || leftOver)) return notRunning(suite)
  const seen = await Promise.all(
    state.services.map(async (service) => ({ service, ...(await conditionOf(service, supervised)) })),
  )
  const allReady = supervised && state.phase === 'up' && seen.every(({ condition }) => condition === 'ready')
  return {
    report: {
      http: state.http,
      rabbitmq: state.rabbitmq,
      mysql: state.mysql,
      services: seen.map(({ service: { name, admin, process: identity }, condition }) => {
        const pid = condition === 'stopped' || condition === 'restarting' ? null : (identity?.pid ?? null)
        return { name, pid, admin, state: condition }
      }),
    },
    exitCode: allReady ? STATUS_EXIT.ready : STATUS_EXIT.degraded,
    summary: summaryOf(supervised ? state.phase : 'left over', allReady, state.http),
    mode: state.mode,
    remarks: seen.map(({ service, reason }) => ({ reason, restarts: service.restarts })),
  }
}

function notRunning({ admins }: Suite): Status {
  return {
    report: {
      http: null,
      rabbitmq: null,
      mysql: null,
      services: admins.map(({ name, admin }) => ({ name, pid: null, admin, state: 'stopped' })),
    },
    exitCode: STATUS_EXIT.notRunning,
    summary: 'Nothing is running. `npm run up` starts the suite.',
    mode: null,
    remarks: admins.map(() => ({ reason: '', restarts: 0 })),
  }
}

async function conditionOf(
  { process: identity, state, admin, lastDeath }: ServiceState,
  supervised: boolean,
): Promise<{ condition: ServiceCondition; reason: string }> {
  if (identity !== null && isAlive(identity)) {
    const { state: condition, reason } = await askReadiness(admin)
    return { condition, reason }
  }
  if (!supervised || state === 'stopped') return { condition: 'stopped', reason: '' }
  return { condition: 'restarting', reason: lastDeath === '' ? '' : `died: ${lastDeath}` }
}

function summaryOf(phase: string, allReady: boolean, http: string): string {
  if (allReady) return `The suite is up: ${http}`
  switch (phase) {
    case 'starting':
      return 'The suite is starting.'
    case 'stopping':
      return 'The suite is stopping.'
    case 'up':
      return `The suite is up, but not every service is ready: ${http}`
    default:
      return 'The supervisor is gone, but services of it still run. `npm run down` stops them; `npm run up` starts anew.'
  }
}
