// Faults at the worst moments: between commit and ack, between the broker's acceptance and its confirm, and with a late ack.
import { setTimeout as pause } from 'node:timers/promises'
import type { TcpProxy } from 'testkit'
import type { ReplicaName } from '../../test/stack.ts'
import { ITEM, itemOf, publishOnceOrTwice } from '../workload/requests.ts'
import { replicasOf, WRITERS } from '../world.ts'
import { becomesTrue } from './broker.ts'
import type { Fault, Scene } from './fault.ts'

const COMES_WITHIN_MS = 4_000
const BACKLOG_MESSAGES = 400

export const within = async (promise: Promise<void>, ms: number): Promise<boolean> =>
  await Promise.race([promise.then(() => true), pause(ms, false)])

function waysOf({ world }: Scene, name: ReplicaName): { amqp: TcpProxy; mysql: TcpProxy } {
  const amqp = world.amqp.get(name)
  const mysql = world.mysql.get(name)
  if (amqp === undefined || mysql === undefined) throw new Error(`${name} has no way to both servers`)
  return { amqp, mysql }
}

const killedBeforeAck: Fault = {
  kind: 'consumer killed between commit and ack',
  group: 'moment',
  weight: 6,
  strike: async (scene) => {
    const name = scene.random.pick(WRITERS)
    const held = waysOf(scene, name).mysql.holdAnswerTo('COMMIT')
    const committed = await within(held.answered, COMES_WITHIN_MS)
    const victim = scene.world.stack.service(name)
    if (committed) {
      victim.kill('SIGKILL')
      await victim.exited
    }
    held.release()
    return {
      note: name,
      lastsMs: 0,
      heal: async () => {
        if (committed) await scene.world.restart(name)
        return committed
      },
    }
  },
}

const commitAnswerLost: Fault = {
  kind: 'answer to a commit lost',
  group: 'moment',
  weight: 5,
  strike: async (scene) => {
    const name = scene.random.pick(WRITERS)
    const held = waysOf(scene, name).mysql.holdAnswerTo('COMMIT')
    const committed = await within(held.answered, COMES_WITHIN_MS)
    held.lose()
    return { note: name, lastsMs: 0, heal: async () => committed }
  },
}

const confirmLost: Fault = {
  kind: 'confirms of the broker lost',
  group: 'moment',
  weight: 5,
  strike: async (scene) => {
    const way = scene.world.amqp.get('producer')
    if (way === undefined) throw new Error('the producer has no way to the broker')
    const before = way.passedBytes
    way.weather({ kind: 'black hole', towards: 'client' })
    await pause(scene.random.whole(50, 500))
    const sent = way.passedBytes > before
    const cut = way.cut()
    way.weather(undefined)
    return { note: '', lastsMs: 0, heal: async () => sent && cut > 0 }
  },
}

/** Everything that the producer writes disappears with its connection, so none of it may have been answered with 200. */
const publishesSwallowed: Fault = {
  kind: 'publishes swallowed before the broker',
  group: 'moment',
  weight: 5,
  strike: async (scene) => {
    const way = scene.world.amqp.get('producer')
    if (way === undefined) throw new Error('the producer has no way to the broker')
    way.weather({ kind: 'black hole', towards: 'server' })
    await pause(scene.random.whole(100, 600))
    const cut = way.cut()
    way.weather(undefined)
    return { note: '', lastsMs: 0, heal: async () => cut > 0 }
  },
}

/**
 * The connection is lost while the database works on a batch, the messages are redelivered on a new channel, the batch
 * ends, and the process is killed before the next batch does. An ack of the old batch on the new channel would
 * acknowledge messages that nobody applied.
 */
const ackOfLostChannel: Fault = {
  kind: 'ack of a channel that is gone',
  group: 'moment',
  weight: 4,
  strike: async (scene) => {
    const name = 'consumer_two'
    const { amqp, mysql } = waysOf(scene, name)
    const victim = scene.world.stack.service(name)
    // Another replica would apply the redelivered messages.
    const others = replicasOf(name).filter((other) => other !== name)
    for (const other of others) scene.world.stack.service(other).kill('SIGTERM')
    for (const other of others) await scene.world.stack.service(other).exited
    // A new channel, whose delivery tags are small, so that they are also valid on the next one.
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
      await becomesTrue(async () => (await scene.world.stack.depth('create_item')) === 0, COMES_WITHIN_MS)
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
      heal: async () => {
        if (committed) await scene.world.restart(name)
        for (const other of others) await scene.world.restart(other)
        return committed
      },
    }
  },
}

/** Messages that wait behind the current batch. */
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
  commitAnswerLost,
  confirmLost,
  publishesSwallowed,
  ackOfLostChannel,
]
