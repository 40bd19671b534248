// Why messaging is not open, as /readyz reports it: the broker's own reason and address, from the first attempt on.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { eventually, startTcpProxy } from 'testkit'
import { z } from 'zod'
import { openBroker, waitForConsumers } from '../src/broker.ts'
import { consumerEnvironment, type RabbitmqConfig } from '../src/config.ts'
import { command } from '../src/contract.ts'
import { quietService } from '../src/testing.ts'
import { onLoopback, type RabbitmqUnderTest, rabbitmqUnderTest } from './rabbitmq.ts'

const lonely = command('why_starting_lonely', { body: z.object({}), result: z.string() })

let rabbitmq: RabbitmqUnderTest
beforeAll(async () => {
  rabbitmq = await rabbitmqUnderTest('why starting')
})
afterAll(() => rabbitmq.drop())

/** A starting service, and what it would report. */
function startingService() {
  const stopping = new AbortController()
  let why: () => string | undefined = () => undefined
  const explainStart = (explanation: () => string | undefined) => {
    why = explanation
  }
  const service = { ...quietService, stopping: stopping.signal, explainStart }
  return { service, why: () => why(), stop: () => stopping.abort() }
}

const config = (changes: Partial<RabbitmqConfig>): RabbitmqConfig => ({
  ...rabbitmq.config,
  reconnectMaxMs: 100,
  ...changes,
})

describe('the reason why the broker does not open', () => {
  it.each<[string, () => Partial<RabbitmqConfig>, RegExp]>([
    ['a refused login', () => ({ password: 'wrong' }), /^connection for \w+ is not open: \S+:\d+: .*ACCESS.REFUSED/],
    [
      'nobody listening',
      () => ({ servers: [onLoopback(1)] }),
      /^connection for \w+ is not open: \S+:1: .*ECONNREFUSED/,
    ],
    ['a missing queue', () => ({ topology: 'check' }), /no queue 'why_starting_lonely'/],
  ])('is reported while it opens: %s', async (_, changes, reason) => {
    const { service, why, stop } = startingService()
    const opening = openBroker(config(changes()), service, { publishes: [lonely] })
    await eventually(() => expect(why()).toMatch(reason))
    stop()
    await expect(opening).rejects.toThrow()
  })

  it('is reported before the first attempt has ended: the address of a broker that does not respond', async () => {
    const proxy = await startTcpProxy(rabbitmq.server)
    proxy.weather({ kind: 'black hole', towards: 'both' })
    const { service, why, stop } = startingService()
    const opening = openBroker(config({ servers: [onLoopback(proxy.port)] }), service)
    expect(why()).toBe(`connection for publishing is not open yet: 127.0.0.1:${proxy.port} has not answered`)
    stop()
    await expect(opening).rejects.toThrow()
    await proxy.close()
  })

  it('includes a queue without a consumer, and a refused subscription', async () => {
    const { service, why, stop } = startingService()
    const broker = await openBroker(config({}), service, { publishes: [lonely] })
    const waiting = waitForConsumers(broker, [lonely], service, 60_000)
    await eventually(() => expect(why()).toBe('waiting for a consumer of: why_starting_lonely'))
    stop()
    await expect(waiting).rejects.toThrow()
    await broker.close()
    const other = startingService()
    const checking = await openBroker(config({ topology: 'check' }), other.service)
    const missing = command('why_starting_missing', { body: z.object({}), result: z.string() })
    const consuming = checking.consume(missing, async () => [], consumerEnvironment.parse({}))
    await eventually(() => expect(other.why()).toMatch(/no queue 'why_starting_missing'/))
    other.stop()
    await expect(consuming).rejects.toThrow()
    await checking.close()
  })
})

it('is reported with the address when an open broker is lost', async () => {
  const proxy = await startTcpProxy(rabbitmq.server)
  const broker = await openBroker(config({ servers: [onLoopback(proxy.port)] }), quietService)
  await proxy.close()
  await eventually(() => expect(broker.notReady()).toMatch(/^connection for \w+ is not open: 127\.0\.0\.1:\d+: /))
  expect(broker.notReady()).not.toContain('channel')
  await broker.close()
})
