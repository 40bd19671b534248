// The metrics that can be tested without a broker.
import { describe, expect, it } from '@jest/globals'
import { z } from 'zod'
import { rabbitmqEnvironment } from '../src/config.ts'
import type { Connection } from '../src/connection/connection.ts'
import { Supervised } from '../src/connection/supervised.ts'
import { query } from '../src/contract.ts'
import { contracts, stockManagement } from '../src/contracts.ts'
import { NoReply } from '../src/errors.ts'
import type { Delivery, Outcome } from '../src/handler.ts'
import { attemptAll } from '../src/incoming/attempts.ts'
import { countedOutcomes, OutcomeCounter } from '../src/incoming/counted-outcomes.ts'
import { Publisher } from '../src/outgoing/publisher.ts'
import { Requester } from '../src/outgoing/requester.ts'
import type { Meter } from '../src/service.ts'
import { countingService } from './counting-service.ts'

/** A publisher whose connection never opens. It refuses every message. */
function disconnected() {
  const service = countingService()
  const connection = new Supervised<Connection>({
    name: 'connection',
    service,
    reconnectMaxMs: 1,
    open: () => new Promise(() => {}),
    close: async () => {},
  })
  return { service, publisher: new Publisher(connection, rabbitmqEnvironment.parse({}), service) }
}
const empty = (queue: string) => ({ queue, content: Buffer.from('{}'), properties: {} })

describe('a publisher', () => {
  it('sets the counters of its queues to 0 before the first message', () => {
    const { service, publisher } = disconnected()
    publisher.ownQueues(['q'])
    for (const metric of ['messages_confirmed', 'messages_returned', 'messages_outcome_unknown'])
      expect(service.value(metric, { queue: 'q' })).toBe(0)
    expect(service.value('messages_not_accepted', { queue: 'q', reason: 'unroutable' })).toBe(0)
    expect(service.value('messages_not_accepted', { queue: 'q', reason: 'blocked' })).toBe(0)
  })

  it('rejects a body that has no JSON form instead of throwing', async () => {
    const { publisher } = disconnected()
    const contract = query('q', { body: z.unknown(), reply: z.unknown() })
    await expect(publisher.publish(contract, undefined)).rejects.toThrow('first argument')
    await expect(publisher.publish(contract, 1n)).rejects.toThrow('BigInt')
  })

  it('counts a refused message with its reason', async () => {
    const { service, publisher } = disconnected()
    publisher.ownQueues(['q'])
    await expect(publisher.publish(query('q', { body: z.unknown(), reply: z.unknown() }), {})).rejects.toThrow(
      'not connected',
    )
    expect(service.value('messages_confirmed', { queue: 'q' })).toBe(0)
    expect(service.value('messages_not_accepted', { queue: 'q', reason: 'disconnected' })).toBe(1)
  })

  it('counts the replies to all requesters under one queue name', async () => {
    const { service, publisher } = disconnected()
    for (const address of ['amq.rabbitmq.reply-to.g1h2.abc', 'amq.rabbitmq.reply-to.g1h2.def', 'amq.gen-1'])
      await expect(publisher.send(empty(address))).rejects.toThrow('not connected')
    expect(service.value('messages_not_accepted', { queue: 'replies', reason: 'disconnected' })).toBe(3)
    expect(service.series()).toHaveLength(1)
  })
})

describe('a requester', () => {
  it('counts a reply that does not arrive in time', async () => {
    const service = countingService()
    const { publisher } = disconnected()
    publisher.publish = async () => ({ messageId: 'never answered' })
    const contract = query('q', { body: z.unknown(), reply: z.unknown() })
    await expect(new Requester(publisher, service).request(contract, {}, { deadlineMs: 5 })).rejects.toThrow(NoReply)
    expect(service.value('replies_missing', { queue: 'q' })).toBe(1)
  })
})

describe('attemptAll', () => {
  const delivery: Delivery = {
    body: {},
    messageId: 'm',
    redelivered: false,
    redrives: 0,
    fingerprint: 'f',
    headers: {},
  }
  const config = { batchMax: 10, retryMaxMs: 1, holdMaxMs: 1_000 }

  it('counts each message of a failed attempt as retried', async () => {
    const service = countingService()
    let attempts = 0
    const handler = async (deliveries: readonly Delivery[]) => {
      attempts += 1
      if (attempts < 2) throw Object.assign(new Error('the database is down'), { transient: true })
      return deliveries.map(() => ({ kind: 'applied', result: {}, repeated: false }) as const)
    }
    const parts = { queue: 'q', handler, config, service, trouble: () => {}, reported: () => {}, more: () => undefined }
    await attemptAll([{ read: delivery }, { read: delivery }], parts, new AbortController().signal)
    expect(service.value('messages_retried', { queue: 'q' })).toBe(2)
  })

  it('reports no trouble while messages run one by one to find a bad one', async () => {
    const logged: unknown[] = []
    const handler = async (deliveries: readonly Delivery[]) => {
      if (deliveries.length > 1) throw new Error('one of them is bad')
      return deliveries.map(() => ({ kind: 'applied', result: {}, repeated: false }) as const)
    }
    const trouble = (sentence: string | undefined) => void logged.push(sentence)
    const service = countingService()
    const parts = { queue: 'q', handler, config, service, trouble, reported: () => {}, more: () => undefined }
    await attemptAll([{ read: delivery }, { read: delivery }], parts, new AbortController().signal)
    expect(logged).toEqual([undefined])
  })
})

describe('the outcome of a message', () => {
  const outcome = (name: string, repeated = false): Outcome => ({
    kind: 'applied',
    result: { outcome: name },
    repeated,
  })

  it('is counted with one call of the meter for each different outcome in a batch', () => {
    const service = countingService()
    const calls: string[] = []
    const meter = {
      ...service.meter,
      count: (...each: Parameters<Meter['count']>) => {
        calls.push(each[0])
        service.meter.count(...each)
      },
    }
    const deleted = [outcome('deleted'), outcome('unknown-sku'), outcome('deleted'), outcome('deleted', true)]
    new OutcomeCounter(stockManagement, meter).count([...deleted, { kind: 'refused', reason: 'r', error: 'e' }])
    const queue = 'stock_management'
    expect(service.value('messages_applied', { queue, outcome: 'deleted' })).toBe(2)
    expect(service.value('messages_applied', { queue, outcome: 'unknown-sku' })).toBe(1)
    expect(service.value('messages_duplicates', { queue })).toBe(1)
    expect(calls).toHaveLength(3)
  })

  it('is counted only under the values of the contract, whatever a handler returns', () => {
    expect(contracts.map((contract) => [contract.queue, countedOutcomes(contract)])).toEqual([
      ['healthcheck', ['logged']],
      ['create_item', ['created']],
      ['stock_management', ['deleted', 'unknown-sku']],
      ['order_processing', ['answered']],
      ['stock_adjustment', ['adjusted']],
      ['movements', ['answered']],
      ['message_status', ['answered']],
    ])
    const service = countingService()
    new OutcomeCounter(stockManagement, service.meter).count([outcome('a'), outcome('b')])
    expect(service.series()).toHaveLength(1)
  })
})
