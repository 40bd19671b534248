// Faults at critical moments: between commit and ack, between a publish and its confirm, and with a late ack.
import { setTimeout as pause } from 'node:timers/promises'
import type { TcpProxy } from 'testkit'
import type { ReplicaName } from '../../test/stack.ts'
import { replicasOf, WRITERS } from '../testbed.ts'
import { ITEM, itemOf, publishOnceOrTwice } from '../workload/requests.ts'
import { becomesTrue } from './broker.ts'
import type { Fault, Scene } from './fault.ts'

const COMES_WITHIN_MS = 4_000
const BACKLOG_MESSAGES = 400

export const within = async (promise: Promise<void>, ms: number): Promise<boolean> =>
  await Promise.race([promise.then(() => true), pause(ms, false)])

function proxiesOf({ testbed }: Scene, name: ReplicaName): { amqp: TcpProxy; mysql: TcpProxy } {
  const amqp = testbed.amqp.get(name)
  const mysql = testbed.mysql.get(name)
  if (amqp === undefined || mysql === undefined) throw new Error(`${name} does not have a proxy to each server`)
  return { amqp, mysql }
}

const killedBeforeAck: Fault = {
  kind: 'consumer killed between commit and ack',
  group: 'moment',
  weight: 6,
  inject: async (scene) => {
    const name = scene.random.pick(WRITERS)
    const held = proxiesOf(scene, name).mysql.holdAnswerTo('COMMIT')
    const committed = await within(held.answered, COMES_WITHIN_MS)
    const victim = scene.testbed.stack.service(name)
    if (committed) {
      victim.kill('SIGKILL')
      await victim.exited
    }
    held.release()
    return {
      note: name,
      lastsMs: 0,
      repair: async () => {
        if (committed) await scene.testbed.restart(name)
        return committed
      },
    }
  },
}

const commitResponseLost: Fault = {
  kind: 'response to a commit lost',
  group: 'moment',
  weight: 5,
  inject: async (scene) => {
    const name = scene.random.pick(WRITERS)
    const held = proxiesOf(scene, name).mysql.holdAnswerTo('COMMIT')
    const committed = await within(held.answered, COMES_WITHIN_MS)
    held.lose()
    return { note: name, lastsMs: 0, repair: async () => committed }
  },
}

const confirmLost: Fault = {
  kind: 'confirms of the broker lost',
  group: 'moment',
  weight: 5,
  inject: async (scene) => {
    const proxy = scene.testbed.amqp.get('producer')
    if (proxy === undefined) throw new Error('the producer has no proxy to the broker')
    const before = proxy.passedBytes
    proxy.weather({ kind: 'black hole', towards: 'client' })
    await pause(scene.random.whole(50, 500))
    const sent = proxy.passedBytes > before
    const cut = proxy.cut()
    proxy.weather(undefined)
    return { note: '', lastsMs: 0, repair: async () => sent && cut > 0 }
  },
}

/** Everything that the producer writes is lost with its connection, so it must not return 200 for any of these messages. */
const publishesLost: Fault = {
  kind: 'publishes lost before the broker',
  group: 'moment',
  weight: 5,
  inject: async (scene) => {
    const proxy = scene.testbed.amqp.get('producer')
    if (proxy === undefined) throw new Error('the producer has no proxy to the broker')
    proxy.weather({ kind: 'black hole', towards: 'server' })
    await pause(scene.random.whole(100, 600))
    const cut = proxy.cut()
    proxy.weather(undefined)
    return { note: '', lastsMs: 0, repair: async () => cut > 0 }
  },
}

/**
 * The connection is lost while the database processes a batch. The messages are redelivered on a new channel, the batch
 * ends, and the process is killed before the next batch ends. An ack of the old batch on the new channel would
 * acknowledge messages that were not applied.
 */
const ackOfClosedChannel: Fault = {
  kind: 'ack of a closed channel',
  group: 'moment',
  weight: 4,
  inject: async (scene) => {
    const name = 'consumer_two'
    const { amqp, mysql } = proxiesOf(scene, name)
    const victim = scene.testbed.stack.service(name)
    // Another replica would apply the redelivered messages.
    const others = replicasOf(name).filter((other) => other !== name)
    for (const other of others) scene.testbed.stack.service(other).kill('SIGTERM')
    for (const other of others) await scene.testbed.stack.service(other).exited
    // Delivery tags start at 1 on every channel. After this cut they are small, so the next channel uses the same ones.
    amqp.cut()
    await becomesTrue(async () => (await victim.notReady()) === undefined, COMES_WITHIN_MS)
    await pause(150)
    const held = mysql.holdAnswerTo('COMMIT')
    const committed = await within(held.answered, COMES_WITHIN_MS)
    if (committed) {
      await backlog(scene)
      const before = amqp.accepted
      amqp.cut()
      await becomesTrue(() => amqp.accepted > before, COMES_WITHIN_MS)
      await becomesTrue(async () => (await scene.testbed.stack.depth('create_item')) === 0, COMES_WITHIN_MS)
      const next = mysql.holdAnswerTo('INSERT INTO inbox')
      held.release()
      await within(next.answered, 1_000)
      await pause(20)
      victim.kill('SIGKILL')
      await victim.exited
      next.release()
    }
    held.release()
    return {
      note: name,
      lastsMs: 0,
      repair: async () => {
        if (committed) await scene.testbed.restart(name)
        for (const other of others) await scene.testbed.restart(other)
        return committed
      },
    }
  },
}

/** Publishes messages that wait behind the current batch. */
async function backlog({ sender, random }: Scene): Promise<void> {
  const { history } = sender
  const sent = Array.from({ length: BACKLOG_MESSAGES }, async () => {
    const sku = history.unique('Sö')
    const id = history.unique(ITEM)
    const one = history.begin({ id, kind: 'create', queue: 'create_item', sku, messageId: history.unique('message') })
    await publishOnceOrTwice(sender, random, one, JSON.stringify(itemOf(id, sku)))
    if (one.answer === 'accepted') history.expected.set(sku, id)
  })
  await Promise.all(sent)
}

export const momentFaults: readonly Fault[] = [
  killedBeforeAck,
  commitResponseLost,
  confirmLost,
  publishesLost,
  ackOfClosedChannel,
]
