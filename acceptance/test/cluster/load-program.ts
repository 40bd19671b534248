// Load from inside the cluster, run as it is by the Node of our image: calls at a steady rate, and a line each second that says how they went.
import { Agent, request } from 'node:http'

/** What is known after some time; each line of the log holds one of these. */
export interface Status {
  /** Items that were posted: they are numbered 1 to `posted`. */
  readonly posted: number
  /** Numbers of the items that were not answered with 200: nothing is known of them. */
  readonly notAccepted: readonly number[]
  /** Calls that were made: they are numbered 1 to `begun`. */
  readonly begun: number
  /** All calls up to this number are over; of the later ones, some are on the way. */
  readonly overUpTo: number
  /** Calls that were answered, rightly or not, or given up; those on the way do not count. */
  readonly calls: number
  /** Calls that were not answered as they should be. */
  readonly failed: number
  /** The newest of these, as in `POST /create_item: 503`. */
  readonly why: readonly string[]
  readonly slowestMs: number
  /** True in the last line. */
  readonly isOver: boolean
}

const ANSWERED_WITHIN_MS = 40_000
const WHYS_MOST = 5
const SECOND_MS = 1_000
/** Of ten calls: seven create an item, the others look after the queues that those do not use. */
const CALLS = 10
const HEALTHCHECKS = [2]
const LISTINGS = [5, 8]

interface Settings {
  readonly url: string
  /** Label of every item, and the beginning of its sku. */
  readonly run: string
  readonly callsPerSecond: number
  /** How often a status is said; each second when left out. */
  readonly sayEveryMs?: number
}

export const skuOf = (run: string, n: number): string => `${run}-${n}`

/** Makes calls until `stop` aborts, then waits for those on the way. `say` is given a status now and then, and a last one. */
export async function makeLoad(settings: Settings, say: (status: Status) => void, stop: AbortSignal): Promise<void> {
  const { url, run, callsPerSecond, sayEveryMs = SECOND_MS } = settings
  // Few idle connections, each used again within a second: HTTP cannot tell a call that was on the way when the other side closed an idle one.
  const agent = new Agent({ keepAlive: true, maxSockets: 16, maxFreeSockets: 6 })
  const notAccepted: number[] = []
  const why: string[] = []
  const counts = { posted: 0, begun: 0, calls: 0, failed: 0, slowestMs: 0 }
  /** The calls on the way by their numbers: a Map keeps the order, so the first is the oldest. */
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
    if (why.length > WHYS_MOST) why.shift()
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
    // Not one call for each turn: timers are late on a busy node, and the rate is what matters.
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

/** Without `fetch`, which asks again by itself when a connection that was kept alive is cut: that would be counted as no failure. */
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
