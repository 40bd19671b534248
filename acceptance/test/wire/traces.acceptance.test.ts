// Checks the spans that the services export to an OTLP receiver. Each message has one trace until it is redriven.
import { execFile } from 'node:child_process'
import { createServer } from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { eventually } from 'testkit'
import { call } from '../http.ts'
import { ROOT, type Stack, startStack } from '../stack.ts'
import { endpointOf, type ReceivedSpan, startOtlpReceiver } from './otlp-receiver.ts'

const MINUTE_MS = 60_000
const SERVER = 2
const CLIENT = 3
const PRODUCER = 4
const CONSUMER = 5
const item = { name: 'Tropicana Apple Juice', label: 'juice', price: 25, quantity: 50 }

/** The header with the trace context of a client. Each test has its own trace id. */
const parentOf = (traceId: string) => ({ traceparent: `00-${traceId}-00f067aa0ba902b7-01` })

describe('the suite with OTEL_EXPORTER_OTLP_ENDPOINT', () => {
  let stack: Stack
  let receiver: Awaited<ReturnType<typeof startOtlpReceiver>>
  beforeAll(async () => {
    receiver = await startOtlpReceiver()
    stack = await startStack('traces', { env: { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint } })
  }, 2 * MINUTE_MS)
  afterAll(async () => {
    await stack.stop()
    receiver.close()
  }, 3 * MINUTE_MS)

  const ofTrace = (traceId: string) => receiver.spans.filter((span) => span.traceId === traceId)
  /** Waits until the trace has spans with these names, and returns all its spans. */
  const trace = async (traceId: string, names: readonly string[]) => {
    await eventually(() => expect(ofTrace(traceId).map(({ name }) => name)).toEqual(expect.arrayContaining([...names])))
    return ofTrace(traceId)
  }
  const named = (spans: readonly ReceivedSpan[], name: string) => {
    const found = spans.find((span) => span.name === name)
    if (found === undefined) throw new Error(`no span ${name}`)
    return found
  }
  /** Runs the redrive command and resolves with its output. It exits with 1 if a message is dead-lettered again. */
  const redrive = (queue: string) =>
    new Promise<string>((resolve) => {
      const command = [`${ROOT}producer/src/dead-letters.ts`, 'redrive', queue, '--all']
      execFile(process.execPath, command, { env: { PATH: process.env.PATH, ...stack.env } }, (_, out) => resolve(out))
    })
  const create = (sku: string, headers: Record<string, string>) =>
    call(`${stack.http}/create_item`, { json: { sku, ...item }, headers })

  it(
    'has one trace from the POST to the commit in MySQL and back',
    async () => {
      const traceId = '0af7651916cd43dd8448eb211c80319c'
      const answer = await create('IB000000001', {
        ...parentOf(traceId),
        Prefer: 'wait=20',
        'X-Request-Id': 'request-1',
      })
      expect(answer.status).toBe(201)
      const back = 'process (temporary)'
      const spans = await trace(traceId, ['POST /create_item', 'transaction', back])
      const path = ['POST /create_item', 'send create_item', 'process create_item', 'transaction'].map((name) =>
        named(spans, name),
      )
      expect(path.map(({ service, kind }) => [service, kind])).toEqual([
        ['producer', SERVER],
        ['producer', PRODUCER],
        ['consumer_two', CONSUMER],
        ['consumer_two', CLIENT],
      ])
      expect(path.map(({ parentSpanId }) => parentSpanId)).toEqual([
        '00f067aa0ba902b7',
        ...path.slice(0, -1).map(({ spanId }) => spanId),
      ])
      expect(named(spans, 'send (temporary)').parentSpanId).toBe(path[2]?.spanId)
      expect(named(spans, back)).toMatchObject({
        service: 'producer',
        parentSpanId: named(spans, 'send (temporary)').spanId,
      })
      const messageId = answer.headers.get('message-id')
      for (const span of path.slice(0, 3)) expect(span.attributes['messaging.message.id']).toBe(messageId)
      expect(path[0]?.attributes['ims.request.id']).toBe('request-1')
    },
    3 * MINUTE_MS,
  )

  it(
    'has a process span in the trace of each sender of a batch',
    async () => {
      const contexts = Array.from({ length: 200 }, (_, index) => (index + 1).toString(16).padStart(32, '0'))
      const channel = stack.channel
      stack.service('consumer_two').kill('SIGSTOP')
      for (const [index, traceId] of contexts.entries()) {
        const body = JSON.stringify({ sku: `IB1${String(index).padStart(8, '0')}`, ...item })
        channel.sendToQueue('create_item', Buffer.from(body), { headers: parentOf(traceId) })
      }
      await channel.waitForConfirms()
      stack.service('consumer_two').kill('SIGCONT')
      await Promise.all(contexts.map((traceId) => trace(traceId, ['process create_item'])))
      const batches = () => receiver.spans.filter(({ name }) => name === 'receive create_item')
      // The spans of one batch can be in two exports.
      await eventually(() => {
        const [batch] = batches()
        // The batch has a trace of its own, and the messages link to it.
        expect(ofTrace(batch?.traceId ?? '').map(({ name }) => name)).toContain('transaction')
        const linking = receiver.spans.filter(({ links }) => links.some(({ spanId }) => spanId === batch?.spanId))
        expect(linking.length).toBe(Number(batch?.attributes['messaging.batch.message_count']))
      })
      for (const { links } of batches()) expect(links.length).toBeLessThanOrEqual(128)
    },
    3 * MINUTE_MS,
  )

  it(
    'begins a trace for a message without a context, or with an invalid one',
    async () => {
      for (const [index, traceparent] of [
        undefined,
        'hostile',
        7,
        `00-${'0'.repeat(32)}-00f067aa0ba902b7-01`,
      ].entries())
        stack.channel.sendToQueue('healthcheck', Buffer.from('{"action":"health check"}'), {
          messageId: `python-${index}`,
          headers: traceparent === undefined ? {} : { traceparent },
        })
      const of = (index: number) =>
        receiver.spans.find(
          ({ name, attributes }) =>
            name === 'process healthcheck' && attributes['messaging.message.id'] === `python-${index}`,
        )
      for (const index of [0, 1, 2, 3]) {
        await eventually(() => expect(of(index)).toBeDefined())
        expect(of(index)?.parentSpanId ?? '').toBe('')
      }
    },
    3 * MINUTE_MS,
  )

  it('shows each attempt, and a redelivery to another process, in the trace of the sender', async () => {
    const traceId = '2af7651916cd43dd8448eb211c80319c'
    await stack.pool.query('RENAME TABLE inbox TO inbox_away')
    expect((await create('IB000000002', parentOf(traceId))).status).toBe(200)
    const attempts = () =>
      ofTrace(traceId)
        .filter(({ name }) => name === 'process create_item')
        .map(({ attributes }) => attributes)
    await eventually(() =>
      expect(attempts().filter((each) => each['error.type'] === 'DatabaseError').length).toBeGreaterThan(1),
    )
    const killed = stack.service('consumer_two')
    killed.kill('SIGKILL')
    await killed.exited
    await stack.pool.query('RENAME TABLE inbox_away TO inbox')
    await stack.start('consumer_two')
    await eventually(() =>
      expect(attempts().at(-1)).toMatchObject({ 'ims.outcome': 'applied', 'ims.message.redelivered': true }),
    )
    expect(new Set(attempts().map((each) => each['messaging.message.id'])).size).toBe(1)
  })

  it(
    'shows the dead letter in the trace, and links a redriven message to it',
    async () => {
      const traceId = '1af7651916cd43dd8448eb211c80319c'
      expect((await create('IB000000001', parentOf(traceId))).status).toBe(200)
      const spans = await trace(traceId, ['process create_item', 'send create_item.dead-letter'])
      expect(named(spans, 'process create_item').attributes).toMatchObject({
        'ims.outcome': 'refused',
        'error.type': 'duplicate-sku',
      })
      expect(await redrive('create_item')).toContain('1 redriven: 0 applied, 1 dead-lettered again')
      await eventually(() => {
        const redriven = receiver.spans.find(
          ({ name, attributes, links }) =>
            name === 'process create_item' &&
            Number(attributes['ims.message.redrives']) === 1 &&
            links.some((link) => link.traceId === traceId),
        )
        expect(redriven?.traceId ?? traceId).not.toBe(traceId)
      })
    },
    3 * MINUTE_MS,
  )
})

describe('the producer', () => {
  const hanging = createServer(() => {})
  beforeAll(() => new Promise<void>((resolve) => hanging.listen(0, '127.0.0.1', resolve)))
  afterAll(() => {
    hanging.closeAllConnections()
    hanging.close()
  })

  it.each([
    ['cannot be reached', () => 'http://127.0.0.1:9'],
    ['never responds', () => endpointOf(hanging)],
  ])(
    'works with a receiver that %s, logs the failure once, and exits with 0',
    async (_, endpoint) => {
      const stack = await startStack('traces-unreachable', {
        services: ['consumer_one', 'producer'],
        env: { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint(), WAIT_FOR_CONSUMERS: 'false' },
      })
      try {
        const healthy = async () => expect((await call(`${stack.http}/healthcheck`)).status).toBe(200)
        await healthy()
        const failures = () =>
          stack.lines('producer').filter(({ message }) => String(message).startsWith('traces could not be sent'))
        await eventually(() => expect(failures().length).toBe(1))
        await healthy()
        const producer = stack.service('producer')
        producer.kill('SIGTERM')
        expect(await producer.exited).toBe(0)
        expect(failures().length).toBe(1)
      } finally {
        await stack.stop()
      }
    },
    2 * MINUTE_MS,
  )
})
