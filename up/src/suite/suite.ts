// The description of a suite for its supervisor. The real suite is in ims.ts. Tests use small suites.

import type { ServerProcess } from 'testkit/servers/servers'
import type { z } from 'zod'
import type { ServiceSpec } from './child.ts'
import type { WantedPort } from './ports.ts'
import type { mysqlAddress, rabbitmqAddress } from './state.ts'
import type { RestartPolicy } from './supervised-process.ts'

/** The RabbitMQ and MySQL that the suite uses. */
export interface SuiteServers {
  readonly mode: string
  readonly rabbitmq: z.infer<typeof rabbitmqAddress>
  readonly mysql: z.infer<typeof mysqlAddress>
  /** Environment variables with the account of one service, or of `migrate`. When omitted, all use the credentials of the addresses. */
  accountOf?(name: string): Record<string, string>
  /** Servers to supervise. Empty for external servers. */
  readonly processes: readonly ServerProcess[]
  close(options: { deleteData: boolean }): Promise<void>
}

/** The mode of external servers. The suite uses them and migrates the schema, but never stops them or deletes their data. */
export const EXTERNAL = 'external'

export interface Suite {
  /** The absolute path of the directory for state, logs and data. */
  readonly directory: string
  /** The base URL of the suite: `http://127.0.0.1:5000`. */
  readonly http: string
  readonly ports: readonly WantedPort[]
  readonly admins: readonly { readonly name: string; readonly admin: number }[]
  /** Log files that the servers and the supervisor append to. The supervisor limits their size. */
  readonly endlessLogs: readonly string[]
  /** The services in start order. The last one accepts requests from clients, so it is stopped before the others. */
  services(servers: SuiteServers): readonly ServiceSpec[]
  startServers(onProgress: (text: string) => void): Promise<SuiteServers>
  /** Stops servers that a dead supervisor has left running, and with `deleteData` deletes their data. Resolves with a line for the user. */
  clearServers(options: { deleteData: boolean }): Promise<string>
  migrate(servers: SuiteServers, detail: (text: string) => void): Promise<{ applied: readonly string[] }>
  /** The longest wait for a service to become ready (`readyMs`), and for a service to exit before SIGKILL (`stopMs`). */
  readonly readyMs: number
  readonly stopMs: number
  readonly restart: RestartPolicy
}

/** Groups of services that stop together, in stop order: first the last service, then all others. */
export function stopStages<T>(inStartOrder: readonly T[]): T[][] {
  return [inStartOrder.slice(-1), inStartOrder.slice(0, -1)].filter((stage) => stage.length > 0)
}

/** The length of the longest service name, for aligned output. */
export function nameWidth({ admins }: Suite): number {
  return Math.max(0, ...admins.map(({ name }) => name.length))
}
