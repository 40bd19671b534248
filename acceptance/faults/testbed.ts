// The setup of a run: real servers, replicas of all services, each behind its own proxies, and triggers that count effects.
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { eventually, leanNode, type Mysql, type Servers, startTcpProxy, type TcpProxy, testSpace } from 'testkit'
import { type ReplicaName, SERVICES, type ServiceName, type Stack, startStackOn } from '../test/stack.ts'
import { installAudit } from './audit.ts'
import { type Mutation, mutationEnvironment } from './mutations.ts'

/** The consumers that write, with three replicas each, so that two of them can deadlock while a third is down. */
export const WRITERS = [
  'consumer_two',
  'consumer_two#2',
  'consumer_two#3',
  'consumer_three',
  'consumer_three#2',
  'consumer_three#3',
] as const
/** All processes: one producer, and at least two processes of each consumer. */
export const REPLICAS: readonly ReplicaName[] = [
  ...new Set<ReplicaName>([...SERVICES, 'consumer_one#2', ...WRITERS, 'consumer_four#2']),
]
const DATABASE_REPLICAS: readonly ReplicaName[] = [...WRITERS, 'consumer_four', 'consumer_four#2']

/** All processes of a service. */
export const replicasOf = (service: ServiceName): ReplicaName[] =>
  REPLICAS.filter((name) => name === service || name.startsWith(`${service}#`))

/** Short timeouts of the services, so that a fault of one second has an effect. */
const IMPATIENT = {
  RABBITMQ_RECONNECT_MOST_MS: '1000',
  RABBITMQ_HEARTBEAT_S: '2',
  RABBITMQ_CONNECT_TIMEOUT_MS: '4000',
  CONSUMER_RETRY_MOST_MS: '1000',
  RPC_TIMEOUT_MS: '5000',
  MYSQL_STATEMENT_TIMEOUT_MS: '5000',
  MYSQL_CONNECT_TIMEOUT_MS: '3000',
  MYSQL_RETRY_MOST_MS: '1000',
}

export interface Testbed {
  readonly stack: Stack
  /** The processes of the suite. */
  readonly replicas: readonly ReplicaName[]
  /** The proxy of each service to the broker. */
  readonly amqp: ReadonlyMap<ReplicaName, TcpProxy>
  /** The proxy to the database of each service that uses it. Empty if the database is a cluster. */
  readonly mysql: ReadonlyMap<ReplicaName, TcpProxy>
  /** The nodes of the database cluster. Empty if there is a single server. */
  readonly cluster: readonly Mysql[]
  /** The database account that only the services use. */
  readonly account: Account
  /** Restarts a service that has ended. */
  restart(name: ReplicaName): Promise<void>
  /** The highest resident memory of each service so far, in bytes. */
  readonly peakBytes: ReadonlyMap<ReplicaName, number>
  /** The number of deliveries that consumers recognised as already applied, summed over all processes of a run. */
  repeated(): number
  stop(): Promise<void>
}

export interface Account {
  readonly user: string
  readonly password: string
}

const SAMPLED_EVERY_MS = 1_000

export interface TestbedOptions {
  /** A change of the services' code. */
  readonly mutation?: Mutation | undefined
  /** The nodes of a database cluster, starting with the one in the servers. Each service gets the list of all nodes. */
  readonly cluster?: readonly Mysql[] | undefined
  readonly replicas?: readonly ReplicaName[]
  /** Aborts the start, which then rejects. */
  readonly interrupted?: AbortSignal | undefined
  /** Additional or different variables of the services. */
  readonly env?: Readonly<Record<string, string>>
}

/** Starts the whole suite on `servers`, each process behind its own proxies. */
export async function startTestbed(
  servers: Servers,
  { mutation, cluster = [], replicas = REPLICAS, interrupted, env = IMPATIENT }: TestbedOptions = {},
): Promise<Testbed> {
  const space = await testSpace(servers, 'fault ledger')
  const amqp = await proxies(replicas, space.rabbitmq)
  const behindProxies = DATABASE_REPLICAS.filter((name) => replicas.includes(name))
  const mysql = await proxies(cluster.length === 0 ? behindProxies : [], space.mysql)
  const account = await newAccount(servers, space.mysql.database)
  const close = async () => {
    for (const proxy of [...amqp.values(), ...mysql.values()]) await proxy.close()
    await servers.mysql.sql(`DROP USER '${account.user}'@'%'`)
  }
  const starting = startStackOn(servers, space, {
    services: replicas,
    interrupted,
    // The same memory options as in a container.
    env: { ...leanNode, ...env },
    envOf: (name) => ({
      ...port('RABBITMQ_PORT', amqp.get(name)),
      ...port('MYSQL_PORT', mysql.get(name)),
      ...(cluster.length === 0 ? {} : { MYSQL_HOST: cluster.map((node) => `${node.host}:${node.port}`).join(',') }),
      MYSQL_USER: account.user,
      MYSQL_PASSWORD: account.password,
      ...mutationEnvironment(mutation),
    }),
  })
  const stack = await starting.catch(async (error) => {
    await close()
    throw error
  })
  await installAudit(servers.mysql, space.mysql.database)
  const samples = sampling(stack, replicas)
  return {
    stack,
    replicas,
    amqp,
    mysql,
    cluster,
    account,
    peakBytes: samples.peakBytes,
    repeated: samples.repeated,
    restart: async (name) => {
      await stack.start(name)
    },
    stop: async () => {
      samples.stop()
      await stack.stop()
      await close()
    },
  }
}

/** Grants the privileges on each table separately, so that a fault can revoke one without the others. */
async function newAccount({ mysql }: Servers, database: string): Promise<Account> {
  const user = `ledger_${randomBytes(4).toString('hex')}`
  const password = randomBytes(12).toString('hex')
  await mysql.sql(`CREATE USER '${user}'@'%' IDENTIFIED BY '${password}'`)
  // MySQL grants privileges on a missing table only together with CREATE.
  for (const table of ['inventory', 'inbox', 'movement', 'migrations'])
    await mysql.sql(`GRANT CREATE, SELECT, INSERT, UPDATE, DELETE ON \`${database}\`.${table} TO '${user}'@'%'`)
  return { user, password }
}

async function proxies(
  names: readonly ReplicaName[],
  target: { host: string; port: number },
): Promise<Map<ReplicaName, TcpProxy>> {
  const started = new Map<ReplicaName, TcpProxy>()
  for (const name of names) started.set(name, await startTcpProxy(target))
  return started
}

const port = (variable: string, proxy: TcpProxy | undefined): Record<string, string> =>
  proxy === undefined ? {} : { [variable]: String(proxy.port) }

/** Resolves when every service is ready. Rejects on a timeout, and names a service that is not ready. */
export async function allReady(
  { stack, replicas }: Pick<Testbed, 'stack' | 'replicas'>,
  withinMs: number,
  interrupted?: AbortSignal,
): Promise<void> {
  await eventually(
    async () => {
      for (const name of replicas) {
        const why = await stack.service(name).notReady()
        if (why !== undefined) throw new Error(`${name} is not ready: ${why}`)
      }
    },
    withinMs,
    interrupted,
  )
}

/** Samples the memory and the counters of the services, because the counters are lost when a process ends. */
function sampling(stack: Stack, replicas: readonly ReplicaName[]) {
  const peakBytes = new Map<ReplicaName, number>()
  const repeatedByPid = new Map<number, number>()
  const timer = setInterval(() => {
    for (const name of replicas) void sample(name).catch(() => {})
  }, SAMPLED_EVERY_MS)
  const sample = async (name: ReplicaName) => {
    const { pid, admin } = stack.service(name)
    peakBytes.set(name, Math.max(peakBytes.get(name) ?? 0, residentBytes(pid)))
    const text = await (await fetch(`${admin}/metrics`, { signal: AbortSignal.timeout(SAMPLED_EVERY_MS) })).text()
    let repeated = 0
    for (const [, value] of text.matchAll(/^ims_messages_duplicates_total\S* (\d+)/gm)) repeated += Number(value)
    repeatedByPid.set(pid, repeated)
  }
  return {
    peakBytes,
    repeated: () => [...repeatedByPid.values()].reduce((sum, each) => sum + each, 0),
    stop: () => clearInterval(timer),
  }
}

/** The resident memory of a process, or 0 if it has ended. */
export function residentBytes(pid: number): number {
  try {
    return 1024 * Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0)
  } catch {
    return 0
  }
}
