// The load generator with a fixed rate: a pause of the server counts for every request that it delays.
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { z } from 'zod'
import { Processes } from '../src/processes.ts'

const PAUSE_MS = 500
const PER_SECOND = 100

describe('the open loop', () => {
  let server: Server
  let status = 200
  let seen = 0
  const processes = new Processes()

  beforeEach(async () => {
    seen = 0
    status = 200
    server = createServer((request, response) => {
      request.resume()
      seen += 1
      response.statusCode = status
      // The requests of the first second are not measured.
      if (seen === PER_SECOND + 10) setTimeout(() => response.end(), PAUSE_MS)
      else response.end()
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  })
  afterEach(() => {
    processes.endAll()
    server.close()
  })

  const run = async () => {
    const { port } = server.address() as AddressInfo
    const options = {
      url: `http://127.0.0.1:${port}/`,
      perSecond: PER_SECOND,
      durationS: 2,
      sku: 'a',
      isWaiting: false,
    }
    const args = [JSON.stringify({ ...options, connectionsMax: 1 })]
    return await processes.run({ file: 'benchmark/src/open-loop.ts', env: {}, args })
  }

  it('measures the latency of a request from the time when it is due, not from the time when it is sent', async () => {
    // The server delays only 1 of the 200 measured requests. The p99 is high only if the wait of about 50 others for the
    // connection counts.
    const printed = z.object({ requests: z.number(), p99Ms: z.number() }).parse(JSON.parse(await run()))
    expect([printed.requests, seen]).toEqual([3 * PER_SECOND, 3 * PER_SECOND])
    expect(printed.p99Ms).toBeGreaterThan(PAUSE_MS / 2)
  })

  it.each([503, 202])('fails when the response to a create is %i', async (response) => {
    status = response
    await expect(run()).rejects.toThrow('open-loop.ts ended with')
  })
})
