// The readiness of a service, from the response of its /readyz.
import { once } from 'node:events'
import { createServer } from 'node:http'
import { describe, expect, it } from '@jest/globals'
import { freePorts } from 'testkit/servers/free-ports'
import { StepFailed } from '../src/suite/progress.ts'
import { askReadiness, until } from '../src/suite/readiness.ts'

/** The result of askReadiness for this response. */
async function readinessOf(status: number, body: string) {
  const server = createServer((_, response) => response.writeHead(status).end(body)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  try {
    return await askReadiness(typeof address === 'object' && address !== null ? address.port : 0)
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

describe('a service', () => {
  it('is ready when /readyz returns 200', async () => {
    expect(await readinessOf(200, '{"status":"ready"}')).toEqual({ state: 'ready', reason: '' })
  })

  it('is not ready when /readyz returns a status other than 200, with the reasons in the response, or else with the status', async () => {
    const body = '{"status":"not ready","reasons":["no connection to RabbitMQ","MySQL does not respond"]}\n'
    expect(await readinessOf(503, body)).toEqual({
      state: 'not-ready',
      reason: 'no connection to RabbitMQ; MySQL does not respond',
    })
    expect(await readinessOf(503, 'plain\nwords')).toEqual({ state: 'not-ready', reason: 'plain words' })
    expect(await readinessOf(500, '')).toEqual({ state: 'not-ready', reason: 'status 500' })
  })

  it('is starting when the response says so, or when no process listens yet', async () => {
    const body = '{"reasons":["the service is starting","waiting for MySQL"]}'
    expect(await readinessOf(503, body)).toEqual({ state: 'starting', reason: 'waiting for MySQL' })
    const [port = 0] = await freePorts(1)
    expect(await askReadiness(port)).toMatchObject({
      state: 'starting',
      reason: `admin port ${port} does not respond yet`,
    })
  })
})

describe('waiting', () => {
  const never = new AbortController().signal

  it('fails with the last reason on timeout', async () => {
    const waiting = until(10, never, async () => 'no connection to MySQL')
    await expect(waiting).rejects.toThrow(new StepFailed('after 0.01 s: no connection to MySQL', ''))
  })

  it('ends before the timeout when it is interrupted', async () => {
    await expect(until(60_000, AbortSignal.timeout(50), async () => 'not yet')).rejects.toMatchObject({
      name: 'Interrupted',
    })
  })
})
