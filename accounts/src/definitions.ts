// RabbitMQ's definitions (queues, policies, and users with their permissions), generated from the list of the suite.
import { type QueueKind, queues, type Service, services } from './suite.ts'

const VHOST = '/'
/** Delivery limit of a quorum queue. A message that crashes its consumer more often is dead-lettered, or dropped if it is a query. */
const DELIVERY_LIMIT = 20
const NOTHING = '^$'
const EVERYTHING = '.*'

const deadLetterQueue = (queue: string): string => `${queue}.dead-letter`

/** The definitions that RabbitMQ imports (https://www.rabbitmq.com/docs/definitions), without the passwords of the users. */
export const definitions = {
  vhosts: [
    {
      name: VHOST,
      metadata: { description: 'IMS and the Python peers, which support no other vhost', default_queue_type: 'quorum' },
    },
  ],
  users: [
    ...services.map(({ name }) => ({ name, tags: [] as string[] })),
    { name: 'operator', tags: ['administrator'] },
    { name: 'monitoring', tags: ['monitoring'] },
  ],
  permissions: [
    ...services.map((service) => ({ user: service.name, vhost: VHOST, ...permissionsOf(service) })),
    { user: 'operator', vhost: VHOST, configure: EVERYTHING, write: EVERYTHING, read: EVERYTHING },
    { user: 'monitoring', vhost: VHOST, configure: NOTHING, write: NOTHING, read: NOTHING },
  ],
  queues: Object.keys(queues)
    .flatMap((queue) => [queue, deadLetterQueue(queue)])
    .map((name) => ({
      vhost: VHOST,
      name,
      durable: true,
      auto_delete: false,
      arguments: { 'x-queue-type': 'quorum' },
    })),
  policies: [
    ...Object.entries(queues).flatMap(policiesOf),
    // No limit, because browsing a dead letter counts as a delivery.
    policy('dead-letters-quorum', '^.+\\.dead-letter$', 'quorum_queues', 1, { 'delivery-limit': -1 }),
  ],
}

/** A consumer reads only its own queues. Every service may publish to the default exchange, because replies and Python peers need it (ADR 31). */
function permissionsOf({ consumes }: Service) {
  if (consumes.length > 0)
    return {
      configure: NOTHING,
      write: oneOf(['amq.default', ...consumes.map(deadLetterQueue)]),
      read: oneOf(consumes),
    }
  const all = Object.keys(queues)
  return {
    // The lock queue exists while one client reads dead letters, and keeps other clients from reading them.
    configure: oneOf(all, '.dead-letter.reader'),
    write: oneOf(['amq.default', ...all]),
    read: oneOf(all, '.dead-letter'),
  }
}

/** A pattern that matches exactly these names, each with `suffix`. */
function oneOf(names: readonly string[], suffix = ''): string {
  const escaped = names.map((name) => name.replaceAll('.', '\\.')).join('|')
  return `^${names.length === 1 ? escaped : `(${escaped})`}${suffix.replaceAll('.', '\\.')}$`
}

function policiesOf([queue, kind]: [string, QueueKind]) {
  if (kind === 'query')
    return [policy(`${queue}-quorum`, oneOf([queue]), 'quorum_queues', 2, { 'delivery-limit': DELIVERY_LIMIT })]
  const target = { 'dead-letter-exchange': '', 'dead-letter-routing-key': deadLetterQueue(queue) }
  return [
    policy(`${queue}-dead-letter`, oneOf([queue]), 'queues', 1, target),
    // Keys for quorum queues only. A key that is invalid for a queue's type disables the whole policy for that queue.
    policy(`${queue}-quorum`, oneOf([queue]), 'quorum_queues', 2, {
      ...target,
      'dead-letter-strategy': 'at-least-once',
      overflow: 'reject-publish',
      'delivery-limit': DELIVERY_LIMIT,
    }),
  ]
}

function policy(
  name: string,
  pattern: string,
  applyTo: 'queues' | 'quorum_queues',
  priority: number,
  definition: Readonly<Record<string, string | number>>,
) {
  return { vhost: VHOST, name, pattern, 'apply-to': applyTo, priority, definition }
}
