// A publisher drops its connection when the broker has stalled. The tests use a test clock, a fake connection and a fake channel.
import { expect, it } from '@jest/globals'
import type { ChannelModel, ConfirmChannel } from 'amqplib'
import { rabbitmqEnvironment } from '../src/config.ts'
import type { Connection } from '../src/connection/connection.ts'
import { Supervised } from '../src/connection/supervised.ts'
import { healthcheck } from '../src/contracts.ts'
import { NotAccepted } from '../src/errors.ts'
import { Publisher } from '../src/outgoing/publisher.ts'
import { type Clock, clockOf } from '../src/scope.ts'
import { quietService } from '../src/testing.ts'

const MINUTE_MS = 60_000

async function published() {
  let nowMs = 1
  const due = new Set<{ atMs: number; due: () => void }>()
  const clock: Clock = {
    ...clockOf({}),
    nowMs: () => nowMs,
    after: (ms, call) => {
      const timer = { atMs: nowMs + ms, due: call }
      due.add(timer)
      return () => void due.delete(timer)
    },
    afterRead: (turned) => {
      turned()
      return () => {}
    },
  }
  const pass = (ms: number) => {
    for (const endsAtMs = nowMs + ms; nowMs < endsAtMs; nowMs += 1_000)
      for (const timer of [...due]) if (timer.atMs <= nowMs && due.delete(timer)) timer.due()
  }
  const service = { ...quietService, clock }
  const dropped: Error[] = []
  const connection: Connection = {
    model: {} as ChannelModel,
    address: 'broker:5672',
    clock,
    blocked: undefined,
    unblockedAtMs: 0,
    frameMax: 131_072,
    drop: (reason) => void dropped.push(reason),
  }
  const supervised = <T>(resource: T) =>
    new Supervised<T>({ name: 'x', service, reconnectMaxMs: 1, open: async () => resource, close: async () => {} })
  const connections = supervised(connection)
  const channels = supervised({ publish: () => true } as unknown as ConfirmChannel)
  await Promise.all([connections.whenOpen(), channels.whenOpen()])
  const publisher = new Publisher(connections, rabbitmqEnvironment.parse({}), service)
  publisher.useChannel(channels)
  publisher.send({ queue: 'q', content: Buffer.from('1'), properties: {} }).catch(() => {})
  return { publisher, connection, dropped, pass, clock }
}

it('drops a connection on which the broker has confirmed nothing for a minute', async () => {
  const { publisher, dropped, pass } = await published()
  pass(50_000)
  expect(publisher.notReady()).toMatch(/^the broker has confirmed nothing for 50 s: 1 messages wait$/)
  expect(dropped).toEqual([])
  pass(2 * MINUTE_MS)
  expect(dropped[0]?.message).toBe('the broker confirmed nothing for 60000 ms')
})

it('does not treat an alarm of an hour as a stall, and starts the stall timeout when the alarm ends', async () => {
  const { connection, dropped, pass, clock, publisher } = await published()
  connection.blocked = 'low on memory'
  pass(60 * MINUTE_MS)
  connection.blocked = undefined
  connection.unblockedAtMs = clock.nowMs()
  pass(50_000)
  expect(dropped).toEqual([])
  expect(publisher.notReady()).toMatch(/^the broker has confirmed nothing for 50 s/)
  pass(2 * MINUTE_MS)
  expect(dropped).not.toEqual([])
})

it('refuses a message while an earlier one to the same queue has waited for more than half of the confirm timeout', async () => {
  const { publisher, pass } = await published()
  const offered = (queue: string) => publisher.publish({ ...healthcheck, queue }, 'x').then(() => 'confirmed', reasonOf)
  void offered('q')
  pass(2_000)
  const [sameQueue, otherQueue] = [offered('q'), offered('other')]
  pass(2_000)
  expect(await offered('q')).toBe('over-limit')
  pass(10_000)
  expect(await Promise.all([sameQueue, otherQueue])).toEqual(['unknown', 'unknown'])
  // An earlier message stops counting after the stall timeout.
  pass(MINUTE_MS)
  const later = offered('q')
  pass(10_000)
  expect(await later).toBe('unknown')
})

const reasonOf = (error: unknown) => (error instanceof NotAccepted ? error.reason : 'unknown')
