// The requests of a client, over HTTP or directly to a queue. The history records every attempt and every response.
import type { ConfirmChannel, Options } from 'amqplib'
import { z } from 'zod'
import type { Attempt, History } from '../history.ts'
import type { Random } from '../random.ts'

const ANSWERED_WITHIN_MS = 20_000
const CONFIRMED_WITHIN_MS = 20_000
const TWICE_FRACTION = 0.1

export interface Sender {
  readonly http: string
  /** Headers of every request. */
  readonly headers?: Readonly<Record<string, string>>
  /** The test's own channel. Throws while it is not open. */
  channel(): ConfirmChannel
  readonly history: History
  /** Is called for every HTTP request with its result. */
  onResult?(result: HttpResult): void
}

export interface HttpResult {
  readonly path: string
  /** Undefined if there was no complete response. */
  readonly status: number | undefined
  /** The type of the problem document, if it is one. */
  readonly problem: string
  readonly sentAtMs: number
  readonly tookMs: number
}

export interface Item {
  readonly sku: string
  readonly name: string
  readonly label: string
  readonly price: number
  readonly quantity: number
}

interface Answered {
  readonly status: number
  readonly messageId: string | undefined
  readonly problem: string
  readonly text: string
}

/** The expected statuses. 408 is one of them, because a client may send too slowly on a busy machine. */
const KNOWN = new Set([200, 201, 202, 404, 408, 409, 422, 503, 504])

/** The prefix of every item name. A connection with the wrong character set would corrupt it. */
export const ITEM = 'größe😀'

/** The initial quantity of every item. */
export const QUANTITY = 7

/** An item whose name identifies its attempt. */
export const itemOf = (name: string, sku: string): Item => ({
  sku,
  name,
  label: 'ledger',
  price: 12.25,
  quantity: QUANTITY,
})

/** Sends POST /create_item. With `waitS`, waits for the outcome. */
export async function create(sender: Sender, sku: string, waitS?: number): Promise<Attempt> {
  const attempt = begunItem(sender, sku)
  await sendItem(sender, attempt, sku, waitS)
  return attempt
}

/** Records an attempt to create an item, which is not sent yet. */
export const begunItem = ({ history }: Sender, sku: string): Attempt =>
  history.begin({ id: history.unique(ITEM), kind: 'create', queue: 'create_item', sku })

/** Sends the item. With `key`, which is an Idempotency-Key, it can be sent several times. */
export async function sendItem(sender: Sender, attempt: Attempt, sku: string, waitS?: number, key?: string) {
  attempt[waitS === undefined ? 'sentWithoutWaiting' : 'sentWaiting'] += 1
  const answer = await settled(sender, attempt, post(sender, '/create_item', itemOf(attempt.id, sku), waitS, key))
  if (answer?.status === 201) attempt.reported = 'created'
  if (answer?.status === 422 || answer?.problem === 'duplicate-sku') attempt.reported = 'refused'
}

/** Sends POST /stock_management. With `waitS`, waits for the outcome. */
export async function remove(sender: Sender, sku: string, waitS?: number): Promise<Attempt> {
  const { history } = sender
  const attempt = history.begin({ id: history.unique('delete'), kind: 'delete', queue: 'stock_management', sku })
  attempt[waitS === undefined ? 'sentWithoutWaiting' : 'sentWaiting'] += 1
  const answer = await settled(sender, attempt, post(sender, '/stock_management', { sku }, waitS))
  if (answer?.status === 404) attempt.reported = 'unknown-sku'
  if (answer?.status === 200 && waitS !== undefined) attempt.reported = 'deleted'
  return attempt
}

/** Sends POST /stock_adjustment. With `waitS`, waits for the outcome. The reason of the movement identifies its attempt. */
export async function adjust(sender: Sender, sku: string, change: number, waitS?: number): Promise<Attempt> {
  const { history } = sender
  const id = history.unique('adjust')
  const attempt = history.begin({ id, kind: 'adjust', queue: 'stock_adjustment', sku, change })
  attempt[waitS === undefined ? 'sentWithoutWaiting' : 'sentWaiting'] += 1
  const answer = await settled(sender, attempt, post(sender, '/stock_adjustment', { sku, change, reason: id }, waitS))
  if (answer?.status === 201) {
    attempt.reported = 'adjusted'
    attempt.quantity = adjusted.parse(JSON.parse(answer.text)).quantity
  }
  if ([404, 409, 422].includes(answer?.status ?? 0)) attempt.reported = 'refused'
  return attempt
}

const adjusted = z.object({ quantity: z.int() })

/** Sends GET /healthcheck. */
export async function checkHealth(sender: Sender): Promise<Attempt> {
  const { history } = sender
  const attempt = history.begin({
    id: history.unique('health'),
    kind: 'healthcheck',
    queue: 'healthcheck',
    sku: undefined,
  })
  await settled(sender, attempt, ask(sender, '/healthcheck'))
  return attempt
}

/** Resolves with the item names by sku on a page of the listing, or with undefined if the listing failed. */
export async function list(sender: Sender, query: string): Promise<Map<string, string> | undefined> {
  const answer = await ask(sender, `/order_processing?${query}`)
  if (answer?.status !== 200) return undefined
  const rows: unknown = JSON.parse(answer.text)
  if (!Array.isArray(rows)) throw new Error('the listing is not an array')
  return new Map(rows.map((row: Item) => [row.sku, row.name]))
}

/** Publishes a message to a queue and waits for the broker's confirm. */
export async function publish(
  sender: Sender,
  attempt: Attempt,
  body: string | Buffer,
  options: Options.Publish = {},
): Promise<void> {
  const { history } = sender
  const fromMs = history.nowMs()
  attempt.sentWithoutWaiting += 1
  const answer = await confirmed(sender, attempt.queue, Buffer.from(body), {
    persistent: true,
    ...(attempt.messageId === undefined ? {} : { messageId: attempt.messageId }),
    // Identifies a returned message, even one without an id.
    correlationId: history.unique('publish'),
    ...options,
  })
  attempt.calls.push({ fromMs, untilMs: history.nowMs(), answered: `published: ${answer}` })
  // If the message is sent several times, it may be stored although this publish was not accepted.
  if (answer === 'accepted' || attempt.answer !== 'accepted') attempt.answer = answer
}

/** Publishes a message. In one of ten cases, publishes it twice at the same time with the same id. */
export async function publishOnceOrTwice(
  sender: Sender,
  random: Random,
  attempt: Attempt,
  body: string | Buffer,
): Promise<void> {
  const times = random.fraction() < TWICE_FRACTION ? 2 : 1
  await Promise.all(Array.from({ length: times }, () => publish(sender, attempt, body)))
}

async function confirmed(
  { channel }: Sender,
  queue: string,
  body: Buffer,
  options: Options.Publish & { correlationId: string },
): Promise<Attempt['answer']> {
  return await new Promise((resolve) => {
    const timer = setTimeout(() => resolve('unknown'), CONFIRMED_WITHIN_MS)
    try {
      const open = channel()
      const returned = returnedOn(open)
      open.publish('', queue, body, { mandatory: true, ...options }, (error) => {
        clearTimeout(timer)
        // The broker returns a message before it confirms it.
        if (returned.delete(options.correlationId)) resolve('not accepted')
        else resolve(error === null || error === undefined ? 'accepted' : 'unknown')
      })
    } catch {
      clearTimeout(timer)
      resolve('unknown')
    }
  })
}

const returns = new WeakMap<ConfirmChannel, Set<string>>()

/** The correlation ids of messages that were returned on this channel because their queue was deleted. */
function returnedOn(channel: ConfirmChannel): Set<string> {
  const known = returns.get(channel)
  if (known) return known
  const ids = new Set<string>()
  returns.set(channel, ids)
  channel.on('return', ({ properties: { correlationId } }) => {
    if (typeof correlationId === 'string') ids.add(correlationId)
  })
  return ids
}

/** Waits for the response and records it. */
async function settled({ history }: Sender, attempt: Attempt, pending: Promise<Answered | undefined>) {
  const fromMs = history.nowMs()
  const answer = await pending
  const answered = answer === undefined ? 'no response' : `${answer.status} ${answer.problem}`.trim()
  attempt.calls.push({ fromMs, untilMs: history.nowMs(), answered })
  if (answer !== undefined) settle(history, attempt, answer)
  return answer
}

/** According to docs/api.md, only the problem type `not-accepted` means that a message is certainly not stored. */
function settle(history: History, attempt: Attempt, { status, messageId, problem, text }: Answered): void {
  attempt.messageId ??= messageId
  if (messageId !== undefined) attempt.answer = 'accepted'
  // An earlier attempt may have stored the message although this one was not accepted.
  else if (problem === 'not-accepted' && attempt.sentWaiting + attempt.sentWithoutWaiting === 1)
    attempt.answer = 'not accepted'
  else if (attempt.answer === 'not accepted') attempt.answer = 'unknown'
  if (!KNOWN.has(status))
    history.reportContradiction(`the response to a ${attempt.kind} was ${status}: ${text.slice(0, 200)}`, attempt.sku)
  if ([200, 201, 202].includes(status) && messageId === undefined)
    history.reportContradiction(`the response to a ${attempt.kind} was ${status} without a message id`, attempt.sku)
}

async function post(
  sender: Sender,
  path: string,
  json: unknown,
  waitS?: number,
  key?: string,
): Promise<Answered | undefined> {
  const headers = {
    'Content-Type': 'application/json',
    ...(waitS === undefined ? {} : { Prefer: `wait=${waitS}` }),
    ...(key === undefined ? {} : { 'Idempotency-Key': `"${key}"` }),
  }
  return await ask(sender, path, { method: 'POST', headers, body: JSON.stringify(json) })
}

interface Asked extends RequestInit {
  headers?: Record<string, string>
}

/** Sends a request. Resolves with undefined if there was no complete response. */
async function ask(sender: Sender, path: string, { headers, ...init }: Asked = {}): Promise<Answered | undefined> {
  const { http, history } = sender
  const sentAtMs = history.nowMs()
  const report = (status?: number, problem = '') =>
    sender.onResult?.({ path, status, problem, sentAtMs, tookMs: history.nowMs() - sentAtMs })
  const what = path.split('?')[0]
  try {
    const response = await fetch(`${http}${path}`, {
      ...init,
      headers: { ...sender.headers, ...headers },
      signal: AbortSignal.timeout(ANSWERED_WITHIN_MS),
    })
    const text = await response.text()
    history.count(`${what} ${response.status}`)
    const problem = /"urn:ims:problem:([a-z-]+)"/.exec(text)?.[1] ?? ''
    report(response.status, problem)
    return { status: response.status, messageId: response.headers.get('message-id') ?? undefined, problem, text }
  } catch {
    history.count(`${what} no response`)
    report()
    return undefined
  }
}
