// A load generator inside the cluster, run directly by the Node of our image: requests at a steady rate, and a status line each second.
import { Agent, request } from 'node:http'

/** The state so far. Each line of the log holds one. */
export interface Status {
  /** The number of items posted. They are numbered 1 to `posted`. */
  readonly posted: number
  /** Numbers of the items whose response was not 200. Their outcome is unknown. */
  readonly notAccepted: readonly number[]
  /** The number of calls started. They are numbered 1 to `begun`. */
  readonly begun: number
  /** All calls up to this number have ended. Some of the later ones are in flight. */
  readonly overUpTo: number
  /** Calls that got any response or timed out. Calls in flight do not count. */
  readonly calls: number
  /** Calls without the expected response. */
  readonly failed: number
  /** The most recent failures, such as `POST /create_item: 503`. */
  readonly why: readonly string[]
  readonly slowestMs: number
  /** True in the last line. */
  readonly isOver: boolean
}

const ANSWERED_WITHIN_MS = 40_000
const WHYS_MAX = 5
const SECOND_MS = 1_000
/** Of ten calls, seven create an item. The others exercise the queues that creates do not use. */
const CALLS = 10
const HEALTHCHECKS = [2]
const LISTINGS = [5, 8]

interface Settings {
  readonly url: string
  /** The label of every item, and the prefix of its sku. */
  readonly run: string
  readonly callsPerSecond: number
  /** How often to report a status. Every second when omitted. */
  readonly sayEveryMs?: number
}

export const skuOf = (run: string, n: number): string => `${run}-${n}`

/** Sends requests until `stop` aborts, then waits for those in flight. `say` receives a status at intervals, and a final one. */
export async function makeLoad(settings: Settings, say: (status: Status) => void, stop: AbortSignal): Promise<void> {
  const { url, run, callsPerSecond, sayEveryMs = SECOND_MS } = settings
  // Few connections, each reused within a second. When the other side closes an idle connection, HTTP cannot tell
  // whether a request was in flight.
  const agent = new Agent({ keepAlive: true, maxSockets: 16, maxFreeSockets: 6 })
  const notAccepted: number[] = []
  const why: string[] = []
  const counts = { posted: 0, begun: 0, calls: 0, failed: 0, slowestMs: 0 }
  /** The calls in flight by number. A Map keeps insertion order, so the first is the oldest. */
  const onTheWay = new Map<number, Promise<unknown>>()
  const overUpTo = () => (onTheWay.keys().next().value ?? counts.begun + 1) - 1
  const status = (isOver: boolean): Status => ({ ...counts, overUpTo: overUpTo(), notAccepted, why, isOver })

  const one = async (method: string, path: string, body: unknown, isRight: (answer: unknown) => boolean) => {
    const since = performance.now()
    const problem = await answerOf(agent, method, `${url}${path}`, body).then(
      ({ code, text }) => (code === 200 && isRight(JSON.parse(text)) ? undefined : `${code} ${text.slice(0, 200)}`),
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    )
    counts.calls += 1
    counts.slowestMs = Math.max(counts.slowestMs, Math.round(performance.now() - since))
    if (problem === undefined) return true
    counts.failed += 1
    why.push(`${new Date().toISOString()} ${method} ${path}: ${problem}`)
    if (why.length > WHYS_MAX) why.shift()
    return false
  }
  const create = async () => {
    counts.posted += 1
    const n = counts.posted
    const item = { sku: skuOf(run, n), name: `Item ${n}`, label: run, price: n + 0.25, quantity: n }
    if (!(await one('POST', '/create_item', item, () => true))) notAccepted.push(n)
  }
  const list = async () => {
    const sku = skuOf(run, Math.max(1, counts.posted - callsPerSecond))
    await one('GET', `/order_processing?sku=${sku}`, undefined, Array.isArray)
  }

  const began = performance.now()
  let next = 0
  for (let saidAt = began; !stop.aborted; ) {
    await new Promise((resolve) => setTimeout(resolve, SECOND_MS / callsPerSecond))
    // Timers are late on a busy node, so each turn sends as many calls as the rate requires.
    for (; next < ((performance.now() - began) / SECOND_MS) * callsPerSecond; next += 1) {
      const turn = next % CALLS
      const call = HEALTHCHECKS.includes(turn)
        ? one('GET', '/healthcheck', undefined, () => true)
        : LISTINGS.includes(turn)
          ? list()
          : create()
      counts.begun += 1
      const number = counts.begun
      onTheWay.set(number, call)
      void call.finally(() => onTheWay.delete(number))
    }
    if (performance.now() - saidAt < sayEveryMs) continue
    saidAt = performance.now()
    say(status(false))
  }
  await Promise.all(onTheWay.values())
  agent.destroy()
  say(status(true))
}

/** Without `fetch`, which retries by itself when a keep-alive connection is cut, and would hide that failure. */
function answerOf(agent: Agent, method: string, url: string, body: unknown): Promise<{ code: number; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'content-type': 'application/json' }
    const asked = request(url, { method, agent, headers, timeout: ANSWERED_WITHIN_MS }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => resolve({ code: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }))
    })
    asked.on('timeout', () => asked.destroy(new Error(`no answer within ${ANSWERED_WITHIN_MS} ms`)))
    asked.on('error', reject)
    asked.end(body === undefined ? undefined : JSON.stringify(body))
  })
}

if (import.meta.main) {
  const stop = new AbortController()
  process.on('SIGTERM', () => stop.abort())
  const { URL = '', RUN = '', CALLS_PER_SECOND = '' } = process.env
  const settings = { url: URL, run: RUN, callsPerSecond: Number(CALLS_PER_SECOND) }
  await makeLoad(settings, (status) => process.stdout.write(`${JSON.stringify(status)}\n`), stop.signal)
}
