// A load generator that runs in the cluster, on the Node.js of our image. It sends requests at a steady rate and prints a status line each second.
import { Agent, request } from 'node:http'

/** The results so far. Each log line has one status. */
export interface Status {
  /** The number of items posted. They are numbered 1 to `posted`. */
  readonly posted: number
  /** Numbers of the items that got no 200 response. Their outcome is unknown. */
  readonly notAccepted: readonly number[]
  /** The number of calls started. They are numbered 1 to `begun`. */
  readonly begun: number
  /** All calls up to this number have ended. Later calls may be in flight. */
  readonly overUpTo: number
  /** The number of calls that have ended, with any result. */
  readonly calls: number
  /** The number of ended calls that did not get the expected response. */
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
/** Of ten calls, seven create an item. The others are health checks and listings, which use other queues. */
const CALLS = 10
const HEALTHCHECKS = [2]
const LISTINGS = [5, 8]

interface Settings {
  readonly url: string
  /** The label of every item, and the prefix of its sku. */
  readonly run: string
  readonly callsPerSecond: number
  /** How often to report a status. Every second when omitted. */
  readonly reportEveryMs?: number
}

export const skuOf = (run: string, n: number): string => `${run}-${n}`

/** Sends requests until `stop` aborts, then waits for those in flight. `report` receives a status at intervals, and a final one. */
export async function makeLoad(settings: Settings, report: (status: Status) => void, stop: AbortSignal): Promise<void> {
  const { url, run, callsPerSecond, reportEveryMs = SECOND_MS } = settings
  // Uses few connections, so that each is reused within a second. When a server closes an idle connection, the client cannot
  // tell whether the server received a request that was just sent.
  const agent = new Agent({ keepAlive: true, maxSockets: 16, maxFreeSockets: 6 })
  const notAccepted: number[] = []
  const why: string[] = []
  const counts = { posted: 0, begun: 0, calls: 0, failed: 0, slowestMs: 0 }
  /** The calls in flight by number. A Map keeps insertion order, so the first is the oldest. */
  const inFlight = new Map<number, Promise<unknown>>()
  const overUpTo = () => (inFlight.keys().next().value ?? counts.begun + 1) - 1
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
  for (let reportedAt = began; !stop.aborted; ) {
    await new Promise((resolve) => setTimeout(resolve, SECOND_MS / callsPerSecond))
    // Timers fire late on a busy node, so each turn sends as many calls as the rate requires.
    for (; next < ((performance.now() - began) / SECOND_MS) * callsPerSecond; next += 1) {
      const turn = next % CALLS
      const call = HEALTHCHECKS.includes(turn)
        ? one('GET', '/healthcheck', undefined, () => true)
        : LISTINGS.includes(turn)
          ? list()
          : create()
      counts.begun += 1
      const number = counts.begun
      inFlight.set(number, call)
      void call.finally(() => inFlight.delete(number))
    }
    if (performance.now() - reportedAt < reportEveryMs) continue
    reportedAt = performance.now()
    report(status(false))
  }
  await Promise.all(inFlight.values())
  agent.destroy()
  report(status(true))
}

/** Does not use `fetch`, which retries when a keep-alive connection is cut, and would hide that failure. */
function answerOf(agent: Agent, method: string, url: string, body: unknown): Promise<{ code: number; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'content-type': 'application/json' }
    const sent = request(url, { method, agent, headers, timeout: ANSWERED_WITHIN_MS }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => resolve({ code: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }))
    })
    sent.on('timeout', () => sent.destroy(new Error(`no response within ${ANSWERED_WITHIN_MS} ms`)))
    sent.on('error', reject)
    sent.end(body === undefined ? undefined : JSON.stringify(body))
  })
}

if (import.meta.main) {
  const stop = new AbortController()
  process.on('SIGTERM', () => stop.abort())
  const { URL = '', RUN = '', CALLS_PER_SECOND = '' } = process.env
  const settings = { url: URL, run: RUN, callsPerSecond: Number(CALLS_PER_SECOND) }
  await makeLoad(settings, (status) => process.stdout.write(`${JSON.stringify(status)}\n`), stop.signal)
}
