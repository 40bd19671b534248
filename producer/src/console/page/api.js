// Calls the API: keeps the key of this browser tab, sends commands and stores their outcomes, and polls the state of the suite.

import { rateMeter } from './rates.js'

const KEY = 'ims-api-key'
const COMMANDS = 'ims-commands'
const COMMANDS_MAX = 100
const WAIT_S = 10
const COMMAND_TIMEOUT_MS = 25_000
const CALL_TIMEOUT_MS = 40_000
/** The producer caches the state of the queues for a second, so this polling adds little load to the broker. */
export const WATCH_EVERY_MS = 2_000
/** A consumer notices a database failure only when it runs a query, so the page requests one item this often. */
const DATABASE_EVERY_MS = 10_000
/** New items may arrive for this long after the counts of `create_item` have changed. */
const ARRIVING_FOR_MS = 6_000

/**
 * `reachable`: whether the producer responds. `broker`: why the broker cannot be reached. `idle`: queues without a consumer.
 * `arrivals`: increases with each response while new items may arrive. `leaving`: skus whose deletion is delayed or in flight.
 */
export const suite = {
  reachable: true,
  broker: undefined,
  idle: [],
  queues: undefined,
  rates: undefined,
  arrivals: 0,
  leaving: new Set(),
  needsKey: undefined,
  epoch: 0,
}
const listeners = new Set()

/** Calls `listener` after each change of `suite` or of the commands. Returns a function that removes the listener. */
export function onChange(listener) {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

export function changed(values = {}) {
  Object.assign(suite, values)
  for (const listener of listeners) listener()
}

export const hasKey = () => sessionStorage.getItem(KEY) !== null

/** Stores the key for this tab, or removes it if `key` is empty. Reloads all data. */
export function useKey(key) {
  if (key === '') sessionStorage.removeItem(KEY)
  else sessionStorage.setItem(KEY, key)
  changed({ needsKey: undefined, epoch: suite.epoch + 1 })
}

/** Status 0 means that no response arrived. If the call failed, `detail` is a sentence for the user. */
export async function call(path, { method = 'GET', headers = {}, body, timeoutMs = CALL_TIMEOUT_MS } = {}) {
  const key = sessionStorage.getItem(KEY)
  const sent = { ...headers }
  if (key !== null) sent.Authorization = `Bearer ${key}`
  if (body !== undefined) sent['Content-Type'] = 'application/json'
  let response
  let text
  try {
    const signal = AbortSignal.timeout(timeoutMs)
    response = await fetch(path, {
      method,
      headers: sent,
      body: body && JSON.stringify(body),
      signal,
      cache: 'no-store',
    })
    text = await response.text()
  } catch (error) {
    // A timeout does not mean that the producer cannot be reached.
    if (error?.name !== 'TimeoutError') changed({ reachable: false })
    return { status: 0, ok: false, detail: 'No response arrived.', errors: [] }
  }
  if (!suite.reachable) changed({ reachable: true })
  const { status, headers: answered } = response
  const parsed = jsonOf(text)
  const kind = String(parsed?.type ?? '').replace('urn:ims:problem:', '')
  if (status === 401) changed({ needsKey: hasKey() ? 'The API key is not valid.' : 'The API needs a key.' })
  if (kind === 'not-accepted' && parsed?.reason !== 'over-limit' && !suite.broker) changed({ broker: parsed.detail })
  return {
    status,
    ok: response.ok,
    body: parsed,
    kind,
    detail: parsed?.detail ?? (response.ok ? '' : `The response has status ${status}.`),
    errors: Array.isArray(parsed?.errors) ? parsed.errors : [],
    messageId: answered.get('Message-Id'),
    retryAfter: answered.get('Retry-After'),
    next: nextOf(answered.get('Link')),
  }
}

function jsonOf(text) {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const nextOf = (link) => /<([^>]+)>;\s*rel="next"/.exec(link ?? '')?.[1]

let databaseAskedMs = Number.NEGATIVE_INFINITY

async function askDatabase() {
  if (performance.now() - databaseAskedMs < DATABASE_EVERY_MS) return
  // Prevents a second request while this one is in flight.
  databaseAskedMs = Number.POSITIVE_INFINITY
  await call('/order_processing?limit=1')
  databaseAskedMs = performance.now()
}

const measure = rateMeter()
/** The last counts of each producer. Several producers can share one address, and each has its own counts. */
const creations = new Map()
let arrivingUntilMs = 0

/**
 * Requests the state of the queues. This also shows whether the producer and the broker can be reached. Returns the
 * milliseconds until the next request.
 */
export async function watchQueues() {
  void askDatabase()
  const answer = await call('/queues', { timeoutMs: 15_000 })
  if (answer.ok) {
    const { queues } = answer.body
    const idle = queues.filter(({ consumers }) => consumers === 0).map(({ queue }) => queue)
    const { accepted, waiting } = queues.find(({ queue }) => queue === 'create_item') ?? {}
    const { producer } = answer.body
    const seen = `${accepted} ${waiting}`
    if (creations.has(producer) && creations.get(producer) !== seen)
      arrivingUntilMs = performance.now() + ARRIVING_FOR_MS
    creations.set(producer, seen)
    const arrivals = suite.arrivals + (performance.now() < arrivingUntilMs ? 1 : 0)
    changed({ queues, idle, broker: undefined, rates: measure(answer.body), arrivals })
  } else if (answer.status === 503) changed({ broker: answer.detail })
  const retryAfterMs = answer.status === 429 ? Number(answer.retryAfter) * 1_000 : 0
  return Math.max(WATCH_EVERY_MS, retryAfterMs || 0)
}

const randomHex = () =>
  [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, '0')).join('')

/** The commands of this browser, newest first. */
export function commands() {
  const kept = jsonOf(localStorage.getItem(COMMANDS) ?? '[]')
  return Array.isArray(kept) ? kept.filter((each) => typeof each?.key === 'string') : []
}

function keep(command) {
  const others = commands().filter(({ key }) => key !== command.key)
  localStorage.setItem(COMMANDS, JSON.stringify([command, ...others].slice(0, COMMANDS_MAX)))
  changed()
}

/**
 * Sends a command and returns it with its outcome. A command that is sent again has the same key, so it is applied once.
 * The command is stored before it is sent, because the user can close the tab before the response.
 */
export async function send(command) {
  const sent = { at: new Date().toISOString(), key: randomHex(), ...command }
  const before = commands().find(({ key }) => key === sent.key)
  keep({ ...sent, state: 'unknown', text: 'No response yet.', again: true })
  const answer = await call(sent.path, {
    method: 'POST',
    body: sent.body,
    headers: { Prefer: `wait=${WAIT_S}`, 'Idempotency-Key': `"${sent.key}"` },
    timeoutMs: COMMAND_TIMEOUT_MS,
  })
  const done = {
    ...sent,
    ...outcomeAfter(before, outcomeOf(answer), answer.kind),
    errors: answer.errors,
    messageId: answer.messageId ?? sent.messageId,
  }
  keep(done)
  return { ...done, result: answer.body }
}

/** `again`: whether the user can send the command again, with the same key. */
function outcomeOf({ status, ok, kind, detail, retryAfter }) {
  if (status === 202)
    return { state: 'pending', text: 'Accepted and stored by the broker. Its outcome is not known yet.', again: true }
  if (ok) return { state: 'applied', text: 'Done.', again: false }
  if (status === 0)
    return {
      state: 'unknown',
      text: 'No response arrived. It is not known whether the command was applied.',
      again: true,
    }
  if (kind === 'not-accepted') return { state: 'refused', text: detail, again: true }
  if (status >= 500) return { state: 'unknown', text: detail, again: true }
  return { state: 'refused', text: detail, again: retryAfter !== null || status === 401 }
}

/** The refusals that are outcomes. All others (a key without the scope, a rate limit) say that the request was not processed. */
const VERDICTS = new Set([
  'duplicate-sku',
  'unknown-sku',
  'insufficient-stock',
  'quantity-too-large',
  'no-quantity',
  'refused',
  'idempotency-key-reused',
])

/**
 * A repeat that was not processed says nothing about the earlier attempt, which may have been applied: the command stays
 * pending or unknown.
 */
function outcomeAfter(before, outcome, kind) {
  const isOpen = before?.state === 'pending' || before?.state === 'unknown'
  if (!isOpen || outcome.state !== 'refused' || VERDICTS.has(kind)) return outcome
  return {
    ...outcome,
    state: before.state,
    again: true,
    text: `${outcome.text} The earlier attempt may still be applied.`,
  }
}

let document
/** The OpenAPI document, which contains the rules of the API. */
export async function openapi() {
  document ??= await call('/openapi.json').then(({ ok, body }) => (ok ? body : undefined))
  return document
}
