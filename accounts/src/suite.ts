// Defines the suite: its queues, its services, and the rights of each service. Start here to add a service.

/**
 * A command changes data, and a bad one becomes a dead letter. A query expires when its caller stops waiting for the
 * reply, and the broker drops it.
 */
export type QueueKind = 'command' | 'query'

/** The message schemas of each queue are `contracts` in messaging/src/contracts.ts. */
const QUEUES = {
  healthcheck: 'command',
  create_item: 'command',
  stock_management: 'command',
  order_processing: 'query',
  stock_adjustment: 'command',
  movements: 'query',
  message_status: 'query',
} as const satisfies Readonly<Record<string, QueueKind>>

export type QueueName = keyof typeof QUEUES

/** The privileges a service needs on a table. A service that writes to `inbox` also deletes its old rows. */
type TableRights = readonly ('SELECT' | 'INSERT' | 'UPDATE' | 'DELETE')[]

export interface Service {
  /** The name of its folder, its image, and its user on both servers. */
  readonly name: string
  /** The port of its admin server when several services share a host. */
  readonly adminPort: number
  /** The queues that it consumes. The producer consumes none and publishes to all. */
  readonly consumes: readonly QueueName[]
  /** The MySQL tables that it uses. A service without tables has no MySQL account. */
  readonly tables?: Readonly<Record<string, TableRights>>
}

const SERVICES = [
  { name: 'consumer_one', adminPort: 9091, consumes: ['healthcheck'] },
  {
    name: 'consumer_two',
    adminPort: 9092,
    consumes: ['create_item'],
    tables: { inventory: ['SELECT', 'INSERT'], inbox: ['SELECT', 'INSERT', 'DELETE'], migrations: ['SELECT'] },
  },
  {
    name: 'consumer_three',
    adminPort: 9093,
    consumes: ['stock_management', 'stock_adjustment'],
    tables: {
      inventory: ['SELECT', 'UPDATE', 'DELETE'],
      inbox: ['SELECT', 'INSERT', 'DELETE'],
      movement: ['SELECT', 'INSERT'],
      migrations: ['SELECT'],
    },
  },
  {
    name: 'consumer_four',
    adminPort: 9094,
    consumes: ['order_processing', 'movements', 'message_status'],
    tables: { inventory: ['SELECT'], inbox: ['SELECT'], movement: ['SELECT'], migrations: ['SELECT'] },
  },
  { name: 'producer', adminPort: 9090, consumes: [] },
] as const satisfies readonly Service[]

export type ServiceName = (typeof SERVICES)[number]['name']

/** Every queue, with its kind. */
export const queues: Readonly<Record<QueueName, QueueKind>> = QUEUES

/** Every service, in start order. The producer is last, because it waits until its queues have consumers. */
export const services: readonly (Service & { readonly name: ServiceName })[] = SERVICES
export const serviceNames = services.map(({ name }) => name)
