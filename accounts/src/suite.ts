// The one list of what the suite consists of: its queues, its services, and what each service may do. Begin here to add one.

/** A command changes something; its bad messages become dead letters. A query is dropped by the broker when nobody waits for it any more. */
export type QueueKind = 'command' | 'query'

/** `contracts` in messaging/src/contracts.ts has the shape of the messages on each. */
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

/** What a service needs of a table. Who writes to `inbox` also deletes from it: rows that are old enough are forgotten. */
export type TableRights = readonly ('SELECT' | 'INSERT' | 'UPDATE' | 'DELETE')[]

export interface Service {
  /** Its folder, its image, and its user on both servers. */
  readonly name: string
  /** Of its admin port, where several services share a host. */
  readonly adminPort: number
  /** The queues that it consumes. The producer consumes none, and publishes to all. */
  readonly consumes: readonly QueueName[]
  /** Tables of MySQL; a service without them has no account there. */
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

/** Every service, in the order of starting: the producer answers once each queue has a consumer. */
export const services: readonly (Service & { readonly name: ServiceName })[] = SERVICES
export const serviceNames = services.map(({ name }) => name)
