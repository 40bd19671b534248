// The doctor's checks through RabbitMQ's management API: policies, queue types and arguments, delivery limits, and alarms of every node.
import { definitions } from '@ims/accounts/definitions'
import type { RabbitmqConfig } from '@ims/messaging'
import { type Finding, fault, fine, unchecked } from '@ims/runtime/finding'
import { z } from 'zod'

const TIMEOUT_MS = 10_000
const CHECK = 'RabbitMQ policies, queue types and arguments, delivery limits and nodes'

const foundQueues = z.array(
  z.object({
    name: z.string(),
    type: z.string().optional(),
    arguments: z.record(z.string(), z.unknown()).or(z.tuple([]).transform(() => ({}))),
    // Missing until the node has collected statistics of the queue. Some versions send [] or null for no policy.
    effective_policy_definition: z
      .union([z.record(z.string(), z.unknown()), z.tuple([]), z.null()])
      .transform((found): Record<string, unknown> => ({ ...found }))
      .optional(),
  }),
)
const foundNodes = z.array(
  z.object({
    name: z.string(),
    running: z.boolean(),
    // Missing until the node has reported for the first time.
    mem_alarm: z.boolean().optional(),
    disk_free_alarm: z.boolean().optional(),
  }),
)

type FoundQueue = z.output<typeof foundQueues>[number]

const MOVE =
  'On RabbitMQ 4, set default_queue_type to quorum, move its messages away, delete it, and import the definitions.'

interface Broker {
  readonly rabbitmq: RabbitmqConfig
  readonly management: string | undefined
  passwordOf(user: string, server: 'rabbitmq'): string | undefined
}

/** Runs these checks as the user `monitoring`. Never rejects. */
export async function examineManagement(broker: Broker, queues: readonly { name: string }[]): Promise<Finding[]> {
  const password = broker.passwordOf('monitoring', 'rabbitmq')
  if (broker.management === undefined) return [unchecked(CHECK, 'no --management URL is given')]
  if (password === undefined) return [unchecked(CHECK, 'the password of the user monitoring is not available here')]
  const get = async (path: string): Promise<unknown> => {
    const response = await fetch(new URL(`/api/${path}`, broker.management), {
      headers: { Authorization: `Basic ${Buffer.from(`monitoring:${password}`).toString('base64')}` },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
    if (!response.ok) throw new Error(`${response.url} responded with ${response.status}`)
    return await response.json()
  }
  try {
    const found = foundQueues.parse(await get(`queues/${encodeURIComponent(broker.rabbitmq.vhost)}`))
    const nodes = foundNodes.parse(await get('nodes'))
    const byName = new Map(found.map((queue) => [queue.name, queue]))
    return [
      ...nodes.map(nodeFinding),
      ...queues
        .flatMap(({ name }) => [name, `${name}.dead-letter`])
        .flatMap((name) => {
          const queue = byName.get(name)
          return queue === undefined ? [] : queueFindings(queue)
        }),
    ]
  } catch (error) {
    return [unchecked(CHECK, error instanceof Error ? error.message : String(error))]
  }
}

function nodeFinding({ name, running, mem_alarm, disk_free_alarm }: z.output<typeof foundNodes>[number]): Finding {
  const check = `RabbitMQ node ${name}`
  if (!running) return fault(check, 'does not run', 'Start it. A quorum queue needs more than half of its nodes.')
  if (mem_alarm === undefined || disk_free_alarm === undefined)
    return unchecked(check, 'it has not reported its alarms yet')
  const alarms = [mem_alarm ? 'memory' : '', disk_free_alarm ? 'disk' : ''].filter((alarm) => alarm !== '')
  if (alarms.length === 0) return fine(check, 'runs, without alarms')
  return fault(
    check,
    `alarm: ${alarms.join(' and ')}`,
    'Free memory or disk space. Until then the broker accepts no messages.',
  )
}

/** Compares a queue with the definitions of the suite. Of the policies that match, the one with the highest priority applies. */
function queueFindings({ name, type, arguments: given, effective_policy_definition: actual }: FoundQueue): Finding[] {
  // With a default queue type, the broker adds the type to a declaration without arguments.
  const others = Object.entries(given).filter(([key, value]) => key !== 'x-queue-type' || value !== 'quorum')
  const argumentsFound =
    others.length === 0
      ? fine(`arguments of ${name}`, 'none that differ from our declaration')
      : fault(
          `arguments of ${name}`,
          `${JSON.stringify(Object.fromEntries(others))}: a declaration without them fails with 406`,
          'Move its messages away, delete the queue, and import the definitions. Set arguments by policy only.',
        )
  const [kind, policy] = [`type of ${name}`, `policy of ${name}`]
  if (type === undefined || actual === undefined)
    return [argumentsFound, ...[kind, policy].map((check) => unchecked(check, 'the broker has not reported it yet'))]
  const isQuorum = type === 'quorum'
  const [wanted] = definitions.policies
    .filter(({ pattern, 'apply-to': applyTo }) => new RegExp(pattern).test(name) && (isQuorum || applyTo === 'queues'))
    .sort((a, b) => b.priority - a.priority)
  const differences = Object.entries(wanted?.definition ?? {})
    .filter(([key, value]) => actual[key] !== value)
    .map(([key, value]) => `${key} is ${JSON.stringify(actual[key]) ?? 'not set'} instead of ${JSON.stringify(value)}`)
  return [
    argumentsFound,
    isQuorum ? fine(kind, type) : fault(kind, `${type}: it has no delivery limit, and is on one node only`, MOVE),
    differences.length === 0
      ? fine(policy, wanted === undefined ? 'none is needed' : `as in the definitions (${wanted.name})`)
      : fault(policy, differences.join('; '), 'Import the definitions of the suite again.'),
  ]
}
