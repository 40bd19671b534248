// The reason why messaging is not open, as /readyz reports it: the broker's address and error, from the first attempt on.
import { describe, expect, it } from '@jest/globals'
import { eventually, startTcpProxy } from 'testkit'
import { z } from 'zod'
import { openBroker, waitForConsumers } from '../src/broker.ts'
import { consumerEnvironment, type RabbitmqConfig } from '../src/config.ts'
import { command } from '../src/contract.ts'
import { quietService } from '../src/testing.ts'
import { onLoopback, rabbitmqOfFile } from './rabbitmq.ts'

const unconsumed = command('why_starting_unconsumed', { body: z.object({}), result: z.string() })

const rabbitmq = rabbitmqOfFile('why starting')

/** A service that is starting, and the reason that it would report. */
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

describe('the reason why a broker does not open', () => {
  it.each<[string, () => Partial<RabbitmqConfig>, RegExp]>([
    ['a rejected login', () => ({ password: 'wrong' }), /^connection for \w+ is not open: \S+:\d+: .*ACCESS.REFUSED/],
    [
      'no server on the port',
      () => ({ servers: [onLoopback(1)] }),
      /^connection for \w+ is not open: \S+:1: .*ECONNREFUSED/,
    ],
    ['a missing queue', () => ({ topology: 'check' }), /no queue 'why_starting_unconsumed'/],
  ])('is reported while it opens: %s', async (_, changes, reason) => {
    const { service, why, stop } = startingService()
    const opening = openBroker(config(changes()), service, { publishes: [unconsumed] })
    await eventually(() => expect(why()).toMatch(reason))
    stop()
    await expect(opening).rejects.toThrow()
  })

  it('includes the address of a broker that does not respond, even during the first attempt', async () => {
    const proxy = await startTcpProxy(rabbitmq.server)
    proxy.weather({ kind: 'black hole', towards: 'both' })
    const { service, why, stop } = startingService()
    const opening = openBroker(config({ servers: [onLoopback(proxy.port)] }), service)
    expect(why()).toBe(`connection for publishing is not open yet: 127.0.0.1:${proxy.port} has not answered`)
    stop()
    await expect(opening).rejects.toThrow()
    await proxy.close()
  })

  it('includes a queue without a consumer, and a queue that a consumer cannot find', async () => {
    const { service, why, stop } = startingService()
    const broker = await openBroker(config({}), service, { publishes: [unconsumed] })
    const waiting = waitForConsumers(broker, [unconsumed], service, 60_000)
    await eventually(() => expect(why()).toBe('waiting for a consumer of: why_starting_unconsumed'))
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

it('reports the address of the broker when an open connection is lost', async () => {
  const proxy = await startTcpProxy(rabbitmq.server)
  const broker = await openBroker(config({ servers: [onLoopback(proxy.port)] }), quietService)
  await proxy.close()
  await eventually(() => expect(broker.notReady()).toMatch(/^connection for \w+ is not open: 127\.0\.0\.1:\d+: /))
  expect(broker.notReady()).not.toContain('channel')
  await broker.close()
})
