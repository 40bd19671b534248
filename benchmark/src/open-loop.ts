// A load generator with a fixed rate, in its own process. The time at which a request is due does not depend on earlier
// responses, and its latency is measured from that time. A pause of the program therefore counts for every request that it
// delays (no coordinated omission). Prints percentiles as JSON.
import { Agent, request } from 'node:http'
import { z } from 'zod'

/** Requests that are due before this time are not measured. */
const WARM_UP_S = 1
const TICK_MS = 1

const options = z
  .object({
    url: z.string(),
    perSecond: z.number(),
    durationS: z.number(),
    /** A prefix for the skus. Each sku is sent once. */
    sku: z.string().default(''),
    /** Whether each request waits for the outcome of its message. */
    isWaiting: z.boolean().default(false),
    /** Sends GET instead of POST. `{n}` in the URL is replaced by a random number below this, padded to 12 digits. */
    readsBelow: z.int().optional(),
    connectionsMax: z.int().default(64),
  })
  .parse(JSON.parse(process.argv[2] ?? ''))

const agent = new Agent({ keepAlive: true, maxSockets: options.connectionsMax })
const total = Math.round((options.durationS + WARM_UP_S) * options.perSecond)
const latenciesMs: number[] = []
const startMs = performance.now() + 100
const dueMs = (n: number) => startMs + (n / options.perSecond) * 1_000

function send(n: number): Promise<void> {
  const { url, sku, isWaiting, readsBelow } = options
  const any = Math.floor(Math.random() * (readsBelow ?? 0))
  const body = JSON.stringify({ sku: `${sku}${n}`, name: `Item number ${n}`, label: 'juice', price: 25.5, quantity: 1 })
  const headers = {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    ...(isWaiting ? { prefer: 'wait=10' } : {}),
  }
  const sending = readsBelow === undefined ? { method: 'POST', headers } : {}
  return new Promise((resolve, reject) => {
    request(url.replace('{n}', String(any).padStart(12, '0')), { agent, ...sending }, (response) => {
      response.resume()
      response.once('end', () => {
        const { statusCode = 0 } = response
        // The producer responds 202 if the outcome did not arrive in time.
        if (statusCode >= 300 || statusCode === 202) return reject(new Error(`status ${statusCode}`))
        if (n >= WARM_UP_S * options.perSecond) latenciesMs.push(performance.now() - dueMs(n))
        resolve()
      })
    })
      .once('error', reject)
      .end(readsBelow === undefined ? body : undefined)
  })
}

const sent: Promise<void>[] = []
await new Promise<void>((resolve) => {
  const timer = setInterval(() => {
    while (sent.length < total && dueMs(sent.length) <= performance.now()) sent.push(send(sent.length))
    if (sent.length < total) return
    clearInterval(timer)
    resolve()
  }, TICK_MS)
})
await Promise.all(sent)
agent.destroy()
latenciesMs.sort((a, b) => a - b)
const percentile = (part: number) =>
  latenciesMs[Math.min(latenciesMs.length - 1, Math.floor(part * latenciesMs.length))]
process.stdout.write(`${JSON.stringify({ requests: total, p50Ms: percentile(0.5), p99Ms: percentile(0.99) })}\n`)
