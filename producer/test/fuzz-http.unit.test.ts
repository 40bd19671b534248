// Generated requests and corrupted bytes on a real socket: every response is documented, and the server keeps running.
import { Agent, createServer } from 'node:http'
import { connect } from 'node:net'
import { createItem, messageStatus, movements, stockAdjustment, stockManagement } from '@ims/messaging'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { fuzzParameters } from 'testkit'
import { always, appUnderTest, consumerConfig } from './app-under-test.ts'
import { ourConsumerFour, rowsOf } from './consumer-four.ts'
import { generatedRequest, mustBeDocumented, sendGenerated } from './http-fuzz.ts'

const runs = fuzzParameters(1_000)

describe('the HTTP interface', () => {
  const { app, rabbitmq, lines } = appUnderTest()
  const server = createServer(app)
  const agent = new Agent({ keepAlive: true, maxSockets: 4 })
  let port = 0
  beforeAll(async () => {
    await ourConsumerFour(rabbitmq, rowsOf(7))
    await rabbitmq
      .open()
      .consume(createItem, always({ kind: 'applied', result: { outcome: 'created' }, repeated: false }), consumerConfig)
    await rabbitmq
      .open()
      .consume(
        stockManagement,
        always({ kind: 'applied', result: { outcome: 'deleted' }, repeated: false }),
        consumerConfig,
      )
    const adjusted = { kind: 'applied', result: { outcome: 'adjusted', quantity: 1 }, repeated: false } as const
    await rabbitmq.open().consume(stockAdjustment, always(adjusted), consumerConfig)
    const answer = (json: string, headers = {}) => ({ kind: 'answered', body: Buffer.from(json), headers }) as const
    await rabbitmq.open().consume(movements, always(answer('[]', { 'x-next': 0 })), consumerConfig)
    const nothing = answer('{"verdicts":[],"remembersSince":null}')
    await rabbitmq.open().consume(messageStatus, always(nothing), consumerConfig)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    port = typeof address === 'object' ? (address?.port ?? 0) : 0
  })
  afterAll(async () => {
    agent.destroy()
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })

  it('returns a documented response to every generated request', async () => {
    await fc.assert(
      fc.asyncProperty(generatedRequest, async (request) => {
        mustBeDocumented(request, await sendGenerated(port, agent, request), { hasConsole: false })
      }),
      runs,
    )
    expect(lines.filter(({ level }) => level === 'error')).toEqual([])
  })

  it('survives random bytes and corrupted requests, without a 5xx status', async () => {
    const valid =
      'POST /create_item HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}'
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }).map((each) => Buffer.from(each)),
      fc
        .tuple(fc.nat({ max: valid.length - 1 }), fc.uint8Array({ maxLength: 4 }), fc.nat({ max: 10 }))
        .map(([at, put, cut]) =>
          Buffer.concat([Buffer.from(valid.slice(0, at)), Buffer.from(put), Buffer.from(valid.slice(at + cut))]),
        ),
    )
    await fc.assert(
      fc.asyncProperty(bytes, async (sent) => {
        const received = await exchangeAndClose(port, sent)
        for (const [, status] of received.matchAll(/^HTTP\/1\.1 (\d{3})/gm)) expect(Number(status)).toBeLessThan(500)
      }),
      { ...runs, numRuns: Math.ceil(runs.numRuns / 4) },
    )
    const healthcheck = { method: 'GET', target: '/healthcheck', headers: {}, body: undefined }
    expect((await sendGenerated(port, agent, healthcheck)).status).toBe(200)
  })
})

/** Sends the bytes, ends the stream, and resolves with everything that it received. */
function exchangeAndClose(port: number, bytes: Buffer): Promise<string> {
  return new Promise((resolve) => {
    let received = ''
    const socket = connect(port, '127.0.0.1', () => socket.end(bytes))
    socket.on('data', (chunk: Buffer) => {
      received += chunk.toString('latin1')
    })
    socket.on('error', () => {}) // the server may reset the connection
    socket.on('close', () => resolve(received))
  })
}
