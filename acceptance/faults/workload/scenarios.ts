// Small scenarios that clients play, each on its own sku. The responses determine what must be stored in the end.
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
  name: 'an item that was answered as created is listed at once',
  weight: 12,
  play: async (sender) => {
    const sku = newSku(sender)
    const made = await create(sender, sku, WAIT_S)
    if (made.answer === 'accepted') sender.history.expected.set(sku, made.id)
    if (made.reported === 'created') await mustList(sender, sku, made.id)
    if (made.reported === 'refused') sender.history.lie('a new sku was refused', sku)
  },
}

export const createThenDelete: Scenario = {
  name: 'an item is created, deleted, and gone',
  weight: 12,
  play: async (sender) => {
    const sku = newSku(sender)
    const made = await create(sender, sku, WAIT_S)
    if (made.reported !== 'created') return
    const gone = await remove(sender, sku, WAIT_S)
    if (gone.reported === 'unknown-sku') sender.history.lie('a created item was unknown to the delete', sku)
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
  name: 'two items want one sku',
  weight: 10,
  play: async (sender) => {
    const sku = newSku(sender)
    const both = await Promise.all([create(sender, sku, WAIT_S), create(sender, sku, WAIT_S)])
    if (both.every(({ reported }) => reported === 'created'))
      sender.history.lie('two items were created with one sku', sku)
  },
}

/** A create that is published, and can therefore be sent more than once. */
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
  name: 'stock is sold, as far as there is any, and delivered',
  weight: 12,
  play: async (sender) => {
    const { history } = sender
    const sku = newSku(sender)
    const made = await create(sender, sku, WAIT_S)
    if (made.reported !== 'created') return
    history.expected.set(sku, made.id)
    if ((await adjust(sender, sku, -QUANTITY - 1, WAIT_S)).reported === 'adjusted')
      history.lie('more was sold than there was', sku)
    const delivered = await adjust(sender, sku, 2, WAIT_S)
    if (delivered.reported === 'refused') history.lie('a delivery was refused', sku)
    await adjust(sender, sku, -3)
  },
}

const soldOut: Scenario = {
  name: 'many buy one item, more than there are, over HTTP and directly, some of them twice under one id',
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
      sender.history.lie(`two sales of 3 both left ${first.quantity}`, sku)
  },
}

const adjustComesAgain: Scenario = {
  name: 'a change of stock is delivered again after the item was made anew',
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
  name: 'a create is delivered again after the delete',
  weight: 5,
  play: async (sender) => {
    const { history } = sender
    const sku = newSku(sender)
    const { sent, body } = begunCreate(sender, sku)
    await publish(sender, sent, body)
    if (sent.answer !== 'accepted') return
    // The delete finds the item as soon as it is stored.
    for (let tries = 0; tries < TRIES_MAX; tries += 1) {
      const gone = await remove(sender, sku, WAIT_S)
      if (gone.reported === 'deleted') {
        await publish(sender, sent, body)
        history.expected.set(sku, undefined)
        return
      }
      // From here on it is unknown whether this delete comes before or after the item.
      if (gone.reported !== 'unknown-sku') return
      await pauseMs(200)
    }
  },
}

const deleteComesAgain: Scenario = {
  name: 'a delete is delivered again after the item was made anew',
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

/** A client that was told that an item is not stored relies on it, even when its sku is free again. */
const refusedStaysRefused: Scenario = {
  name: 'a refused create is delivered again after its sku was deleted',
  weight: 6,
  play: async (sender) => {
    const { history } = sender
    const sku = newSku(sender)
    const first = await create(sender, sku, WAIT_S)
    if (first.reported !== 'created') return
    const second = await create(sender, sku, WAIT_S)
    if (second.reported === 'created') history.lie('an item was created with a sku that another one has', sku)
    const gone = await remove(sender, sku, WAIT_S)
    if (second.reported !== 'refused' || gone.reported !== 'deleted') return
    await publish(sender, second, JSON.stringify(itemOf(second.id, sku)))
    history.expected.set(sku, undefined)
  },
}

/** It may come before or after the delete, but it must not be decided twice. */
const refusedOrNot: Scenario = {
  name: 'a create, sent twice, races with the delete of the item that has its sku, and comes once more',
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

/** As docs/api.md recommends to clients. */
const sentUntilReported: Scenario = {
  name: 'a create is sent with one key until its outcome is told, and once more after the delete',
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
    if (item.reported === 'refused') history.lie('a new sku with a key was refused', sku)
    if (item.reported === undefined && item.answer === 'accepted') history.expected.set(sku, item.id)
    if (item.reported !== 'created') return
    const gone = await remove(sender, sku, WAIT_S)
    if (gone.reported !== 'deleted') return
    await sendItem(sender, item, sku, WAIT_S, key)
    if (item.reported !== 'created') history.lie('a repeat was told otherwise than the first time', sku)
    history.expected.set(sku, undefined)
  },
}

const sentTwice: Scenario = {
  name: 'a create is sent twice under one id',
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
  name: 'a delete is sent twice under one id',
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
  name: 'a message has no id, as the Python suite sends them',
  weight: 3,
  play: async (sender) => {
    const { history } = sender
    const sku = newSku(sender)
    const sent = history.begin({ id: history.unique(ITEM), kind: 'create', queue: 'create_item', sku })
    await publish(sender, sent, JSON.stringify(itemOf(sent.id, sku)))
    if (sent.answer === 'accepted') history.expected.set(sku, sent.id)
  },
}

/** Bodies that no consumer can apply. `name` is set if the body can identify its attempt. */
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
  name: 'a bad message is put on a queue',
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
  name: 'a page of the listing holds only what was sent',
  weight: 6,
  play: async (sender, random) => {
    const page = await list(sender, `limit=50&after=${random.whole(0, 2_000)}`)
    for (const [sku, name] of page ?? [])
      if (!sender.history.attempts.some(({ id }) => id === name)) sender.history.lie(`listed ${name}: never sent`, sku)
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

/** Plays the scenario with `count` additional clients at the same time. */
export async function crowd(sender: Sender, random: Random, scenario: Scenario, count: number): Promise<void> {
  await Promise.all(Array.from({ length: count }, () => scenario.play(sender, random)))
}

async function mustList(sender: Sender, sku: string, name: string | undefined): Promise<void> {
  const listed = await list(sender, `sku=${encodeURIComponent(sku)}`)
  if (listed === undefined || listed.get(sku) === name) return
  sender.history.lie(`the listing says ${listed.get(sku) ?? 'absent'}, after the answer said ${name ?? 'absent'}`, sku)
}

const newSku = ({ history }: Sender): string => history.unique('Sö')

const pauseMs = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
