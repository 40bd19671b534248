// Small scenarios that clients play, each on its own sku. The responses determine which items must be stored at the end.
import type { Random } from '../random.ts'
import {
  adjust,
  begunItem,
  checkHealth,
  create,
  ITEM,
  itemOf,
  list,
  publish,
  QUANTITY,
  remove,
  type Sender,
  sendItem,
} from './requests.ts'

const WAIT_S = 5
const TRIES_MAX = 8

export interface Scenario {
  readonly name: string
  readonly weight: number
  play(sender: Sender, random: Random): Promise<void>
}

const plainCreate: Scenario = {
  name: 'an item is created',
  weight: 40,
  play: async (sender) => {
    const sku = newSku(sender)
    const made = await create(sender, sku)
    if (made.answer === 'accepted') sender.history.expected.set(sku, made.id)
  },
}

export const createdIsListed: Scenario = {
  name: 'an item that was reported as created is listed at once',
  weight: 12,
  play: async (sender) => {
    const sku = newSku(sender)
    const made = await create(sender, sku, WAIT_S)
    if (made.answer === 'accepted') sender.history.expected.set(sku, made.id)
    if (made.reported === 'created') await mustList(sender, sku, made.id)
    if (made.reported === 'refused') sender.history.reportContradiction('a new sku was refused', sku)
  },
}

export const createThenDelete: Scenario = {
  name: 'an item is created and deleted, and then not listed',
  weight: 12,
  play: async (sender) => {
    const sku = newSku(sender)
    const made = await create(sender, sku, WAIT_S)
    if (made.reported !== 'created') return
    const gone = await remove(sender, sku, WAIT_S)
    if (gone.reported === 'unknown-sku')
      sender.history.reportContradiction('a created item was unknown to the delete', sku)
    if (gone.answer === 'accepted') sender.history.expected.set(sku, undefined)
    if (gone.reported === 'deleted') await mustList(sender, sku, undefined)
  },
}

const createAndDeleteRace: Scenario = {
  name: 'create and delete of one sku race',
  weight: 10,
  play: async (sender) => {
    const sku = newSku(sender)
    await Promise.all([create(sender, sku), remove(sender, sku)])
  },
}

export const twoForOneSku: Scenario = {
  name: 'two items are created with one sku',
  weight: 10,
  play: async (sender) => {
    const sku = newSku(sender)
    const both = await Promise.all([create(sender, sku, WAIT_S), create(sender, sku, WAIT_S)])
    if (both.every(({ reported }) => reported === 'created'))
      sender.history.reportContradiction('two items were created with one sku', sku)
  },
}

/** Records an attempt to create an item by a published message, which can be sent several times. */
function begunCreate({ history }: Sender, sku: string) {
  const id = history.unique(ITEM)
  const sent = history.begin({ id, kind: 'create', queue: 'create_item', sku, messageId: history.unique('message') })
  return { sent, body: JSON.stringify(itemOf(id, sku)) }
}

function begunDelete({ history }: Sender, sku: string) {
  const messageId = history.unique('message')
  const sent = history.begin({ id: messageId, kind: 'delete', queue: 'stock_management', sku, messageId })
  return { sent, body: JSON.stringify({ sku }) }
}

function begunAdjust({ history }: Sender, sku: string, change: number) {
  const id = history.unique('adjust')
  const messageId = history.unique('message')
  const sent = history.begin({ id, kind: 'adjust', queue: 'stock_adjustment', sku, change, messageId })
  return { sent, body: JSON.stringify({ sku, change, reason: id }) }
}

const stockChanges: Scenario = {
  name: 'more than the stock is sold, and then stock is delivered and sold',
  weight: 12,
  play: async (sender) => {
    const { history } = sender
    const sku = newSku(sender)
    const made = await create(sender, sku, WAIT_S)
    if (made.reported !== 'created') return
    history.expected.set(sku, made.id)
    if ((await adjust(sender, sku, -QUANTITY - 1, WAIT_S)).reported === 'adjusted')
      history.reportContradiction('more than the stock was sold', sku)
    const delivered = await adjust(sender, sku, 2, WAIT_S)
    if (delivered.reported === 'refused') history.reportContradiction('a delivery was refused', sku)
    await adjust(sender, sku, -3)
  },
}

const soldOut: Scenario = {
  name: 'more than the stock of one item is sold concurrently, over HTTP and from the queue, partly twice with one id',
  weight: 8,
  play: async (sender) => {
    const sku = newSku(sender)
    const made = await create(sender, sku, WAIT_S)
    if (made.reported !== 'created') return
    const twice = begunAdjust(sender, sku, -2)
    const direct = begunAdjust(sender, sku, -1)
    const [first, second] = await Promise.all([
      adjust(sender, sku, -3, WAIT_S),
      adjust(sender, sku, -3, WAIT_S),
      adjust(sender, sku, -1),
      publish(sender, twice.sent, twice.body),
      publish(sender, twice.sent, twice.body),
      publish(sender, direct.sent, direct.body),
    ])
    await publish(sender, twice.sent, twice.body)
    if (first.quantity !== undefined && first.quantity === second.quantity)
      sender.history.reportContradiction(`two sales of 3 both left ${first.quantity}`, sku)
  },
}

const adjustComesAgain: Scenario = {
  name: 'a change of stock is sent again after the item was deleted and created again',
  weight: 5,
  play: async (sender) => {
    const sku = newSku(sender)
    const first = await create(sender, sku, WAIT_S)
    if (first.reported !== 'created') return
    const { sent, body } = begunAdjust(sender, sku, -1)
    await Promise.all([publish(sender, sent, body), publish(sender, sent, body)])
    const sold = await adjust(sender, sku, -1, WAIT_S)
    const gone = await remove(sender, sku, WAIT_S)
    if (sold.reported !== 'adjusted' || gone.reported !== 'deleted') return
    const second = await create(sender, sku, WAIT_S)
    if (second.reported === 'created') await publish(sender, sent, body)
  },
}

const createComesAgain: Scenario = {
  name: 'a create is sent again after the delete',
  weight: 5,
  play: async (sender) => {
    const { history } = sender
    const sku = newSku(sender)
    const { sent, body } = begunCreate(sender, sku)
    await publish(sender, sent, body)
    if (sent.answer !== 'accepted') return
    // The delete may be applied before the create. It is then repeated until it finds the item.
    for (let tries = 0; tries < TRIES_MAX; tries += 1) {
      const gone = await remove(sender, sku, WAIT_S)
      if (gone.reported === 'deleted') {
        await publish(sender, sent, body)
        history.expected.set(sku, undefined)
        return
      }
      // It is now unknown whether this delete is applied before or after the create.
      if (gone.reported !== 'unknown-sku') return
      await pauseMs(200)
    }
  },
}

const deleteComesAgain: Scenario = {
  name: 'a delete is sent again after the item was created again',
  weight: 5,
  play: async (sender) => {
    const { history } = sender
    const sku = newSku(sender)
    const first = await create(sender, sku, WAIT_S)
    if (first.reported !== 'created') return
    const { sent, body } = begunDelete(sender, sku)
    await publish(sender, sent, body)
    if (sent.answer !== 'accepted') return
    for (let tries = 0; tries < TRIES_MAX; tries += 1) {
      const listed = await list(sender, `sku=${encodeURIComponent(sku)}`)
      if (listed?.size === 0) {
        const second = await create(sender, sku, WAIT_S)
        if (second.reported !== 'created') return
        await publish(sender, sent, body)
        history.expected.set(sku, second.id)
        return
      }
      await pauseMs(200)
    }
  },
}

/** A client to which a refusal was reported relies on it, even when the sku is free again. */
const refusedStaysRefused: Scenario = {
  name: 'a refused create is sent again after the other item with its sku was deleted',
  weight: 6,
  play: async (sender) => {
    const { history } = sender
    const sku = newSku(sender)
    const first = await create(sender, sku, WAIT_S)
    if (first.reported !== 'created') return
    const second = await create(sender, sku, WAIT_S)
    if (second.reported === 'created')
      history.reportContradiction('an item was created with a sku that another item has', sku)
    const gone = await remove(sender, sku, WAIT_S)
    if (second.reported !== 'refused' || gone.reported !== 'deleted') return
    await publish(sender, second, JSON.stringify(itemOf(second.id, sku)))
    history.expected.set(sku, undefined)
  },
}

/** The create may be processed before or after the delete, but it must not get two outcomes. */
const refusedOrNot: Scenario = {
  name: 'a create is sent twice while the item with its sku is deleted, and then once more',
  weight: 6,
  play: async (sender) => {
    const sku = newSku(sender)
    const first = await create(sender, sku, WAIT_S)
    if (first.reported !== 'created') return
    const { sent, body } = begunCreate(sender, sku)
    await Promise.all([publish(sender, sent, body), publish(sender, sent, body), remove(sender, sku, WAIT_S)])
    await publish(sender, sent, body)
  },
}

/** Retries as docs/api.md recommends to clients. */
const sentUntilReported: Scenario = {
  name: 'a create is sent with one Idempotency-Key until its outcome is reported, and once more after the delete',
  weight: 10,
  play: async (sender) => {
    const { history } = sender
    const sku = newSku(sender)
    const key = history.unique('key')
    const item = begunItem(sender, sku)
    for (let tries = 0; tries < TRIES_MAX && item.reported === undefined; tries += 1) {
      if (tries > 0) await pauseMs(200)
      await sendItem(sender, item, sku, WAIT_S, key)
    }
    if (item.reported === 'refused') history.reportContradiction('a new sku with a key was refused', sku)
    if (item.reported === undefined && item.answer === 'accepted') history.expected.set(sku, item.id)
    if (item.reported !== 'created') return
    const gone = await remove(sender, sku, WAIT_S)
    if (gone.reported !== 'deleted') return
    await sendItem(sender, item, sku, WAIT_S, key)
    if (item.reported !== 'created')
      history.reportContradiction('a retry got a different outcome than the first request', sku)
    history.expected.set(sku, undefined)
  },
}

const sentTwice: Scenario = {
  name: 'a create is sent twice with one id',
  weight: 10,
  play: async (sender) => {
    const { history } = sender
    const sku = newSku(sender)
    const { sent, body } = begunCreate(sender, sku)
    await Promise.all([publish(sender, sent, body), publish(sender, sent, body)])
    if (sent.answer === 'accepted') history.expected.set(sku, sent.id)
  },
}

const deleteSentTwice: Scenario = {
  name: 'a delete is sent twice with one id',
  weight: 5,
  play: async (sender) => {
    const { history } = sender
    const sku = newSku(sender)
    const made = await create(sender, sku, WAIT_S)
    if (made.reported !== 'created') return
    const { sent, body } = begunDelete(sender, sku)
    await Promise.all([publish(sender, sent, body), publish(sender, sent, body)])
    if (sent.answer === 'accepted') history.expected.set(sku, undefined)
  },
}

const withoutId: Scenario = {
  name: 'a message has no id, like the messages of the Python suite',
  weight: 3,
  play: async (sender) => {
    const { history } = sender
    const sku = newSku(sender)
    const sent = history.begin({ id: history.unique(ITEM), kind: 'create', queue: 'create_item', sku })
    await publish(sender, sent, JSON.stringify(itemOf(sent.id, sku)))
    if (sent.answer === 'accepted') history.expected.set(sku, sent.id)
  },
}

/** Bodies that no consumer can apply. They contain the id of the attempt if the format allows it. */
const BAD: readonly { queue: string; body: (id: string) => string | Buffer }[] = [
  { queue: 'create_item', body: () => 'not json' },
  { queue: 'create_item', body: () => Buffer.from([0xff, 0xfe, 0x7b]) },
  { queue: 'create_item', body: () => '[]' },
  { queue: 'create_item', body: (id) => JSON.stringify({ ...itemOf(id, 'x'.repeat(21)) }) },
  { queue: 'create_item', body: (id) => JSON.stringify({ ...itemOf(id, 'bad'), quantity: -1 }) },
  { queue: 'stock_management', body: () => '{"sku":7}' },
  { queue: 'stock_management', body: () => '' },
  { queue: 'order_processing', body: () => '{' },
  { queue: 'stock_adjustment', body: (id) => JSON.stringify({ sku: 'bad', change: 0, reason: id }) },
  { queue: 'stock_adjustment', body: (id) => JSON.stringify({ sku: 'bad', change: 0.5, reason: id }) },
]

const badMessage: Scenario = {
  name: 'a bad message is published',
  weight: 6,
  play: async (sender, random) => {
    const { history } = sender
    const { queue, body } = random.pick(BAD)
    const id = history.unique('bad')
    const sent = history.begin({ id, kind: 'bad message', queue, sku: undefined, messageId: id })
    await publish(sender, sent, body(id))
  },
}

const health: Scenario = {
  name: 'a health check',
  weight: 8,
  play: async (sender) => void (await checkHealth(sender)),
}

const listing: Scenario = {
  name: 'a page of the listing contains only items that were sent',
  weight: 6,
  play: async (sender, random) => {
    const page = await list(sender, `limit=50&after=${random.whole(0, 2_000)}`)
    for (const [sku, name] of page ?? [])
      if (!sender.history.attempts.some(({ id }) => id === name))
        sender.history.reportContradiction(`listed ${name}: never sent`, sku)
  },
}

export const scenarios: readonly Scenario[] = [
  plainCreate,
  createdIsListed,
  createThenDelete,
  createAndDeleteRace,
  twoForOneSku,
  createComesAgain,
  deleteComesAgain,
  stockChanges,
  soldOut,
  adjustComesAgain,
  refusedStaysRefused,
  refusedOrNot,
  sentUntilReported,
  sentTwice,
  deleteSentTwice,
  withoutId,
  badMessage,
  health,
  listing,
]

/** Plays the scenario with `count` clients at the same time. */
export async function crowd(sender: Sender, random: Random, scenario: Scenario, count: number): Promise<void> {
  await Promise.all(Array.from({ length: count }, () => scenario.play(sender, random)))
}

async function mustList(sender: Sender, sku: string, name: string | undefined): Promise<void> {
  const listed = await list(sender, `sku=${encodeURIComponent(sku)}`)
  if (listed === undefined || listed.get(sku) === name) return
  sender.history.reportContradiction(
    `the listing has ${listed.get(sku) ?? 'no item'}, but the response implied ${name ?? 'no item'}`,
    sku,
  )
}

const newSku = ({ history }: Sender): string => history.unique('Sö')

const pauseMs = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
