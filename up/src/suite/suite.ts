// What the supervisor needs to know about a suite. The real one is in ims.ts; tests use small ones of their own.

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
  /** Variables with the account of one service, or of `migrate`. Without it, all use the credentials in the addresses. */
  accountOf?(name: string): Record<string, string>
  /** Servers to keep running. External servers are not ours to start. */
  readonly processes: readonly ServerProcess[]
  close(options: { deleteData: boolean }): Promise<void>
}

/** Servers that are not ours. We use them and migrate the schema, but never stop them or delete their data. */
export const EXTERNAL = 'external'

export interface Suite {
  /** Where state, logs and data are kept. An absolute path. */
  readonly directory: string
  /** The base URL of the suite: `http://127.0.0.1:5000`. */
  readonly http: string
  readonly ports: readonly WantedPort[]
  readonly admins: readonly { readonly name: string; readonly admin: number }[]
  /** Files that the servers and the supervisor append to while they run. Their size is limited. */
  readonly endlessLogs: readonly string[]
  /** In start order. The last one accepts work from outside, so it is stopped before the others. */
  services(servers: SuiteServers): readonly ServiceSpec[]
  startServers(onProgress: (text: string) => void): Promise<SuiteServers>
  /** Stops what `startServers` left running when its process died, or deletes its data. Returns a description of what it did. */
  clearServers(options: { deleteData: boolean }): Promise<string>
  migrate(servers: SuiteServers, detail: (text: string) => void): Promise<{ applied: readonly string[] }>
  /** Milliseconds: the longest wait for a service to become ready, and for one to end before SIGKILL. */
  readonly readyMs: number
  readonly stopMs: number
  readonly restart: RestartPolicy
}

/** Groups of services that may stop together, in stop order: first the last one started, then all others. */
export function stopStages<T>(inStartOrder: readonly T[]): T[][] {
  return [inStartOrder.slice(-1), inStartOrder.slice(0, -1)].filter((stage) => stage.length > 0)
}

/** The width to which service names are padded so that they line up. */
export function nameWidth({ admins }: Suite): number {
  return Math.max(0, ...admins.map(({ name }) => name.length))
}
