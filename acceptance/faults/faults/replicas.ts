// One replica fails, and the others must do its work: it is frozen inside its transaction, or cut off from the database.

import type { RowDataPacket } from 'mysql2/promise'
import type { TcpProxy } from 'testkit'
import type { Attempt } from '../history.ts'
import { ITEM, itemOf, publish } from '../workload/requests.ts'
import { WRITERS } from '../world.ts'
import { becomesTrue, messagesIn } from './broker.ts'
import type { Fault, Scene } from './fault.ts'
import { within } from './moments.ts'

const MESSAGES = 100
const COMES_WITHIN_MS = 4_000
/** The broker gives up on a connection after seconds, the database after ten, and a batch that waited for it is retried. */
const DONE_WITHIN_MS = 60_000

type Writer = (typeof WRITERS)[number]

interface Work {
  readonly done: number
  readonly all: number
  readonly tookMs: number
}

const queueOf = (name: Writer) => (name.startsWith('consumer_two') ? 'create_item' : 'stock_management')

/** Sends messages to the queue of `name`, and waits until all of them are recorded in the inbox. */
async function workFor({ world, sender }: Scene, name: Writer): Promise<Work> {
  const { history } = sender
  const since = performance.now()
  const queue = queueOf(name)
  const isCreate = queue === 'create_item'
  const sent = Array.from({ length: MESSAGES }, async (): Promise<Attempt> => {
    const sku = history.unique('Sö')
    const messageId = history.unique('message')
    const id = isCreate ? history.unique(ITEM) : messageId
    const one = history.begin({ id, kind: isCreate ? 'create' : 'delete', queue, sku, messageId })
    // Only one attempt: a statement that fails on a duplicate would leave a frozen consumer without locks.
    await publish(sender, one, JSON.stringify(isCreate ? itemOf(id, sku) : { sku }))
    if (one.answer === 'accepted') history.expected.set(sku, isCreate ? id : undefined)
    return one
  })
  const ids = (await Promise.all(sent)).filter(({ answer }) => answer === 'accepted').map(({ messageId }) => messageId)
  let done = 0
  await becomesTrue(async () => {
    const [rows] = await world.stack.pool.query<RowDataPacket[]>(
      'SELECT 1 FROM inbox WHERE queue = ? AND message_id IN (?)',
      [queue, ids],
    )
    done = rows.length
    return done === ids.length
  }, DONE_WITHIN_MS)
  return { done, all: ids.length, tookMs: performance.now() - since }
}

/** Records how long the others took. If they did not do all of it, a promise is broken. */
function judged({ sender }: Scene, what: string, { done, all, tookMs }: Work): string {
  if (done < all) sender.history.lie(`${what}, and ${done} of ${all} messages were applied within ${DONE_WITHIN_MS} ms`)
  return `the others did ${done} of ${all} in ${tookMs.toFixed(0)} ms`
}

function wayOf({ world }: Scene, name: Writer): TcpProxy {
  const way = world.mysql.get(name)
  if (way === undefined) throw new Error(`${name} has no way to the database`)
  return way
}

/**
 * Its locks stay until the database gives up on its connection. Every other time it continues sooner, with messages
 * that others have by now.
 */
const frozenInTransaction: Fault = {
  kind: 'consumer frozen inside its transaction',
  group: 'moment',
  weight: 6,
  strike: async (scene) => {
    const { random, world, clients } = scene
    const name = random.pick(WRITERS)
    const goesOn = random.fraction() < 0.5
    const victim = world.stack.service(name)
    // Nobody else sends, so it is frozen while it holds messages that the test waits for.
    await clients.hold()
    await becomesTrue(async () => (await messagesIn(scene)).get(queueOf(name)) === 0, DONE_WITHIN_MS)
    const held = wayOf(scene, name).holdAnswerTo('INSERT INTO inbox')
    const work = workFor(scene, name)
    const isInside = await within(held.answered, COMES_WITHIN_MS)
    if (isInside) victim.kill('SIGSTOP')
    held.release()
    clients.resume()
    const note = goesOn ? name : `${name}: ${judged(scene, `${name} was frozen inside its transaction`, await work)}`
    return {
      note,
      lastsMs: goesOn ? random.whole(200, 8_000) : 0,
      heal: async () => {
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
  strike: async (scene) => {
    const { random } = scene
    const name = random.pick(WRITERS)
    const way = wayOf(scene, name)
    const before = way.turnedAway
    way.turnAway(true)
    way.cut()
    const work = await workFor(scene, name)
    return {
      note: `${name}: ${judged(scene, `${name} had no database`, work)}`,
      lastsMs: random.whole(0, 12_000),
      heal: async () => {
        way.turnAway(false)
        return way.turnedAway > before
      },
    }
  },
}

export const replicaFaults: readonly Fault[] = [frozenInTransaction, withoutDatabase]
