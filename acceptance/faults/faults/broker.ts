// Faults of RabbitMQ: it is killed or restarted, it closes all connections, it has an alarm, or a queue is deleted.
import { eventually } from 'testkit'
import { replicasOf } from '../testbed.ts'
import type { Fault, Scene } from './fault.ts'

const EFFECT_WITHIN_MS = 5_000
const EMPTY_WITHIN_MS = 8_000

const killed: Fault = {
  kind: 'broker kill -9',
  group: 'broker',
  weight: 5,
  inject: async ({ testbed, random }) => {
    const { rabbitmq } = testbed.stack.servers
    await rabbitmq.kill()
    return {
      note: '',
      lastsMs: random.whole(0, 1_000),
      repair: async () => {
        await rabbitmq.start()
        return true
      },
    }
  },
}

const restarted: Fault = {
  kind: 'broker stop and start',
  group: 'broker',
  weight: 3,
  inject: async ({ testbed, random }) => {
    const { rabbitmq } = testbed.stack.servers
    await rabbitmq.stop()
    return {
      note: '',
      lastsMs: random.whole(0, 1_000),
      repair: async () => {
        await rabbitmq.start()
        return true
      },
    }
  },
}

const connectionsClosed: Fault = {
  kind: 'broker closes all connections',
  group: 'broker',
  weight: 6,
  inject: async ({ testbed }) => {
    const before = accepted({ testbed })
    await testbed.stack.servers.rabbitmq.ctl(
      'close_all_connections',
      '--vhost',
      testbed.stack.space.rabbitmq.vhost,
      'fault',
    )
    return {
      note: '',
      lastsMs: 200,
      repair: async () => await becomesTrue(() => accepted({ testbed }) > before),
    }
  },
}

const accepted = ({ testbed }: Pick<Scene, 'testbed'>): number =>
  [...testbed.amqp.values()].reduce((sum, proxy) => sum + proxy.accepted, 0)

/** The alarm has taken effect when the producer reports that the broker blocks it. */
function alarm(kind: string, on: readonly string[], off: readonly string[]): Fault {
  return {
    kind,
    group: 'broker',
    weight: 3,
    inject: async ({ testbed, random }) => {
      const { rabbitmq } = testbed.stack.servers
      await rabbitmq.ctl(...on)
      const blocked = await becomesTrue(async () =>
        /block/.test((await testbed.stack.service('producer').notReady()) ?? ''),
      )
      return {
        note: '',
        lastsMs: random.whole(0, 1_500),
        repair: async () => {
          await rabbitmq.ctl(...off)
          return blocked
        },
      }
    },
  }
}

/** Deletes a queue while its consumers are frozen, but only if it is empty: its messages would be lost, and no client can prevent that. */
const queueDeleted: Fault = {
  kind: 'queue deleted',
  group: 'broker',
  weight: 4,
  inject: async ({ testbed, clients, random }) => {
    const [queue, consumer] = random.pick([
      ['healthcheck', 'consumer_one'],
      ['create_item', 'consumer_two'],
      ['stock_management', 'consumer_three'],
      ['order_processing', 'consumer_four'],
    ] as const)
    await clients.hold()
    const isEmpty = await becomesTrue(async () => (await messagesIn({ testbed })).get(queue) === 0, EMPTY_WITHIN_MS)
    const victims = replicasOf(consumer).map((name) => testbed.stack.service(name))
    if (isEmpty) {
      for (const victim of victims) victim.kill('SIGSTOP')
      await testbed.stack.channel.deleteQueue(queue)
    }
    clients.resume()
    return {
      note: queue,
      lastsMs: random.whole(300, 1_500),
      repair: async () => {
        for (const victim of victims) victim.kill('SIGCONT')
        return isEmpty
      },
    }
  },
}

/** The number of messages in each queue of the run, ready and unacknowledged. */
export async function messagesIn({ testbed }: Pick<Scene, 'testbed'>): Promise<Map<string, number>> {
  const { servers, space } = testbed.stack
  const text = await servers.rabbitmq.ctl('list_queues', '--vhost', space.rabbitmq.vhost, 'name', 'messages')
  const lines = text.split('\n').map((line) => line.split('\t'))
  return new Map(
    lines.filter(([, count]) => /^\d+$/.test(count ?? '')).map(([name, count]) => [name ?? '', Number(count)]),
  )
}

export async function becomesTrue(
  check: () => boolean | Promise<boolean>,
  withinMs = EFFECT_WITHIN_MS,
  interrupted?: AbortSignal,
) {
  try {
    await eventually(
      async () => {
        if (!(await check())) throw new Error('not yet')
      },
      withinMs,
      interrupted,
    )
    return true
  } catch {
    return false
  }
}

export const brokerFaults: readonly Fault[] = [
  killed,
  restarted,
  connectionsClosed,
  alarm('broker memory alarm', ['set_vm_memory_high_watermark', '0.00001'], ['set_vm_memory_high_watermark', '0.4']),
  alarm('broker disk alarm', ['set_disk_free_limit', '1000000000000000'], ['set_disk_free_limit', '50000000']),
  queueDeleted,
]
