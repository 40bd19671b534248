// What the supervisor needs to know of a suite; the real one is in ims.ts, tests supervise small ones of their own.

import type { ServerProcess } from 'testkit/servers/servers'
import type { z } from 'zod'
import type { ServiceSpec } from './child.ts'
import type { WantedPort } from './ports.ts'
import type { mysqlAddress, rabbitmqAddress } from './state.ts'
import type { RestartPolicy } from './supervised-process.ts'

/** RabbitMQ and MySQL as the suite was given them. */
export interface SuiteServers {
  readonly mode: string
  readonly rabbitmq: z.infer<typeof rabbitmqAddress>
  readonly mysql: z.infer<typeof mysqlAddress>
  /** Variables by which a service, or `migrate`, is a user of its own; without it all are the users of the addresses. */
  accountOf?(name: string): Record<string, string>
  /** Those to be kept running; external servers are not ours to start. */
  readonly processes: readonly ServerProcess[]
  close(options: { deleteData: boolean }): Promise<void>
}

/** Servers that are not ours: we use them and migrate the schema, but never stop them or delete their data. */
export const EXTERNAL = 'external'

export interface Suite {
  /** Where state, logs and data are kept; absolute. */
  readonly directory: string
  /** Where the suite answers: `http://127.0.0.1:5000`. */
  readonly http: string
  readonly ports: readonly WantedPort[]
  readonly admins: readonly { readonly name: string; readonly admin: number }[]
  /** Files that the servers and the supervisor append to for as long as they run; they are kept from filling the disk. */
  readonly endlessLogs: readonly string[]
  /** In the order of starting. The last is the one that takes work from outside: it is stopped before the others. */
  services(servers: SuiteServers): readonly ServiceSpec[]
  startServers(onProgress: (text: string) => void): Promise<SuiteServers>
  /** Stops what `startServers` left running when its process died, or deletes what it keeps; says in words what it did. */
  clearServers(options: { deleteData: boolean }): Promise<string>
  migrate(servers: SuiteServers, detail: (text: string) => void): Promise<{ applied: readonly string[] }>
  /** Milliseconds: longest wait for a service to be ready, and for one to end before SIGKILL. */
  readonly readyMs: number
  readonly stopMs: number
  readonly restart: RestartPolicy
}

/** What may be stopped together, in the order of stopping: first the last one started, then all others. */
export function stopStages<T>(inStartOrder: readonly T[]): T[][] {
  return [inStartOrder.slice(-1), inStartOrder.slice(0, -1)].filter((stage) => stage.length > 0)
}

/** The width to which the names of services are padded where they stand one below the other. */
export function nameWidth({ admins }: Suite): number {
  return Math.max(0, ...admins.map(({ name }) => name.length))
}
