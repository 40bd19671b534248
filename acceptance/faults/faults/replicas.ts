// One replica is frozen inside its transaction, or cannot reach the database. The others must take over.
import type { RowDataPacket } from 'mysql2/promise'
import type { TcpProxy } from 'testkit'
import type { Attempt } from '../history.ts'
import { WRITERS } from '../testbed.ts'
import { ITEM, itemOf, publish } from '../workload/requests.ts'
import { becomesTrue, messagesIn } from './broker.ts'
import type { Fault, Scene } from './fault.ts'
import { within } from './moments.ts'

const MESSAGES = 100
const COMES_WITHIN_MS = 4_000
/**
 * The broker closes the connection of a frozen process after some seconds, and the database after ten. A batch that waited
 * for the locks of that process is retried.
 */
const DONE_WITHIN_MS = 60_000

type Writer = (typeof WRITERS)[number]

interface Work {
  readonly done: number
  readonly all: number
  readonly tookMs: number
}

const queueOf = (name: Writer) => (name.startsWith('consumer_two') ? 'create_item' : 'stock_management')

/** Sends messages to the queue of `name`, and waits until all of them are recorded in the inbox. */
async function workFor({ testbed, sender }: Scene, name: Writer): Promise<Work> {
  const { history } = sender
  const since = performance.now()
  const queue = queueOf(name)
  const isCreate = queue === 'create_item'
  const sent = Array.from({ length: MESSAGES }, async (): Promise<Attempt> => {
    const sku = history.unique('Sö')
    const messageId = history.unique('message')
    const id = isCreate ? history.unique(ITEM) : messageId
    const one = history.begin({ id, kind: isCreate ? 'create' : 'delete', queue, sku, messageId })
    // Each message is published once, because a statement that fails on a duplicate would leave the frozen consumer without locks.
    await publish(sender, one, JSON.stringify(isCreate ? itemOf(id, sku) : { sku }))
    if (one.answer === 'accepted') history.expected.set(sku, isCreate ? id : undefined)
    return one
  })
  const ids = (await Promise.all(sent)).filter(({ answer }) => answer === 'accepted').map(({ messageId }) => messageId)
  let done = 0
  await becomesTrue(async () => {
    const [rows] = await testbed.stack.pool.query<RowDataPacket[]>(
      'SELECT 1 FROM inbox WHERE queue = ? AND message_id IN (?)',
      [queue, ids],
    )
    done = rows.length
    return done === ids.length
  }, DONE_WITHIN_MS)
  return { done, all: ids.length, tookMs: performance.now() - since }
}

/** Describes how long the other replicas took. If they did not apply all messages, records a contradiction. */
function judged({ sender }: Scene, what: string, { done, all, tookMs }: Work): string {
  if (done < all)
    sender.history.reportContradiction(
      `${what}, and only ${done} of ${all} messages were applied within ${DONE_WITHIN_MS} ms`,
    )
  return `the others did ${done} of ${all} in ${tookMs.toFixed(0)} ms`
}

function proxyOf({ testbed }: Scene, name: Writer): TcpProxy {
  const proxy = testbed.mysql.get(name)
  if (proxy === undefined) throw new Error(`${name} has no proxy to the database`)
  return proxy
}

/**
 * A frozen consumer keeps its locks until the database closes its connection. In half of the cases, the consumer continues
 * earlier, and still has messages that other replicas now also have.
 */
const frozenInTransaction: Fault = {
  kind: 'consumer frozen inside its transaction',
  group: 'moment',
  weight: 6,
  inject: async (scene) => {
    const { random, testbed, clients } = scene
    const name = random.pick(WRITERS)
    const continues = random.fraction() < 0.5
    const victim = testbed.stack.service(name)
    // The clients are paused, so that the frozen consumer has only messages that this fault waits for.
    await clients.hold()
    await becomesTrue(async () => (await messagesIn(scene)).get(queueOf(name)) === 0, DONE_WITHIN_MS)
    const held = proxyOf(scene, name).holdAnswerTo('INSERT INTO inbox')
    const work = workFor(scene, name)
    const isInside = await within(held.answered, COMES_WITHIN_MS)
    if (isInside) victim.kill('SIGSTOP')
    held.release()
    clients.resume()
    const note = continues ? name : `${name}: ${judged(scene, `${name} was frozen inside its transaction`, await work)}`
    return {
      note,
      lastsMs: continues ? random.whole(200, 8_000) : 0,
      repair: async () => {
        victim.kill('SIGCONT')
        await work
        return isInside
      },
    }
  },
}

const withoutDatabase: Fault = {
  kind: 'one replica without a database',
  group: 'moment',
  weight: 5,
  inject: async (scene) => {
    const { random } = scene
    const name = random.pick(WRITERS)
    const proxy = proxyOf(scene, name)
    const before = proxy.turnedAway
    proxy.turnAway(true)
    proxy.cut()
    const work = await workFor(scene, name)
    return {
      note: `${name}: ${judged(scene, `${name} had no database`, work)}`,
      lastsMs: random.whole(0, 12_000),
      repair: async () => {
        proxy.turnAway(false)
        return proxy.turnedAway > before
      },
    }
  },
}

export const replicaFaults: readonly Fault[] = [frozenInTransaction, withoutDatabase]
