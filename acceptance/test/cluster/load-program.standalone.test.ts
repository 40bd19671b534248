// Runs the load generator of the cluster test against a local server. It counts each call once, with its actual result.
import { createServer, type RequestListener } from 'node:http'
import { text } from 'node:stream/consumers'
import { describe, expect, it } from '@jest/globals'
import { z } from 'zod'
import { makeLoad, type Status, skuOf } from './load-program.ts'

const GIVE_UP_MS = 40_000
const PACE = { callsPerSecond: 50, reportEveryMs: 100 }

/** Runs the load against a server that responds with `answer`, until `isEnough` returns true. Resolves with all statuses. */
async function loaded(answer: RequestListener, isEnough: (status: Status) => boolean): Promise<Status[]> {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = z.object({ port: z.int() }).parse(server.address())
  const logged: Status[] = []
  const stop = new AbortController()
  const report = (status: Status) => {
    // Stores a copy, because the lists in a status continue to grow.
    logged.push(structuredClone(status))
    if (isEnough(status)) stop.abort()
  }
  const giveUp = setTimeout(() => stop.abort(), GIVE_UP_MS)
  try {
    await makeLoad({ url: `http://127.0.0.1:${port}`, run: 'run', ...PACE }, report, stop.signal)
    return logged
  } finally {
    clearTimeout(giveUp)
    server.close()
    server.closeAllConnections()
  }
}

const isListing = (url: string | undefined) => url?.startsWith('/order_processing') === true
const right: RequestListener = (request, response) => {
  request.resume()
  response.end(isListing(request.url) ? '[]' : '{}')
}

describe('the load generator of the cluster test', () => {
  it('reports no failed call when every response is as expected', async () => {
    const logged = await loaded(right, ({ calls }) => calls >= 20)
    const last = logged.at(-1)
    expect(last).toMatchObject({ isOver: true, failed: 0, notAccepted: [], why: [] })
    expect(last?.calls).toBe(last?.begun)
    expect(last?.overUpTo).toBe(last?.begun)
    expect(last?.posted).toBeGreaterThan(0)
  })

  it('names the items that were not accepted, and the reason', async () => {
    const logged = await loaded(
      (request, response) => {
        // Finds the item by its sku, because concurrent requests can arrive in any order.
        void text(request).then((body) => {
          if (body.includes(`"${skuOf('run', 3)}"`)) response.statusCode = 503
          right(request, response)
        })
      },
      ({ posted }) => posted >= 10,
    )
    expect(logged.at(-1)).toMatchObject({ failed: 1, notAccepted: [3] })
    expect(logged.at(-1)?.why).toEqual([expect.stringContaining('POST /create_item: 503')])
    expect(skuOf('run', 3)).toBe('run-3')
  })

  it('counts a listing as failed if the response is not a list', async () => {
    const logged = await loaded(
      (request, response) => {
        request.resume()
        response.end('{}')
      },
      ({ failed }) => failed > 0,
    )
    expect(logged.at(-1)?.why[0]).toContain('GET /order_processing')
  })

  it('continues while one call is in flight, and reports up to which number all calls have ended', async () => {
    let answerHeld: (() => void) | undefined
    const overWhileHeld: number[] = []
    const logged = await loaded(
      (request, response) => {
        if (answerHeld !== undefined || request.url !== '/healthcheck') return right(request, response)
        request.resume()
        answerHeld = () => response.end('{}')
      },
      ({ begun, overUpTo }) => {
        // On a busy machine, many calls start in one turn, before the first has ended.
        if (begun > 30 && overUpTo >= 2 && overWhileHeld.length === 0) {
          overWhileHeld.push(overUpTo)
          answerHeld?.()
        }
        return overUpTo > 30
      },
    )
    expect(overWhileHeld).toEqual([2])
    expect(logged.at(-1)).toMatchObject({ isOver: true, failed: 0 })
  })
})
