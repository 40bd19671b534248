// The honest clients of the soak test: requests at a fixed rate, independent of the results, each on its own sku or label.
import type { Random } from '../faults/random.ts'
import { checkHealth, create, list, remove, type Sender } from '../faults/workload/requests.ts'

/** Shorter than the longest permitted response time. */
const WAIT_S = 3

interface Clients extends Sender {
  readonly random: Random
  /** Items that were reported as created and that no request in flight uses. */
  readonly items: { readonly sku: string; readonly name: string }[]
}

const requests: readonly { readonly weight: number; send(clients: Clients): Promise<unknown> }[] = [
  { weight: 15, send: (clients) => createOne(clients) },
  { weight: 10, send: (clients) => createOne(clients, WAIT_S) },
  { weight: 4, send: (clients) => removeOne(clients) },
  { weight: 4, send: (clients) => removeOne(clients, WAIT_S) },
  { weight: 5, send: (clients) => listOne(clients) },
  { weight: 4, send: (clients) => list(clients, `limit=10&label=${clients.history.unique('own')}`) },
  { weight: 8, send: (clients) => checkHealth(clients) },
]

/** Sends `perSecond` requests per second until `stop`, which resolves when no request is in flight. */
export function startHonest(sender: Sender, random: Random, perSecond: number): { stop(): Promise<void> } {
  const clients: Clients = { ...sender, random, items: [] }
  const inFlight = new Set<Promise<unknown>>()
  const began = performance.now()
  let sent = 0
  const timer = setInterval(() => {
    for (; sent < ((performance.now() - began) / 1_000) * perSecond; sent += 1) {
      const request = random.weighted(requests).send(clients)
      inFlight.add(request)
      void request.finally(() => inFlight.delete(request))
    }
  }, 1_000 / perSecond)
  return {
    stop: async () => {
      clearInterval(timer)
      await Promise.all(inFlight)
    },
  }
}

async function createOne(clients: Clients, waitS?: number): Promise<void> {
  const { history, items } = clients
  const sku = history.unique('SOAK')
  const made = await create(clients, sku, waitS)
  if (made.answer === 'accepted') history.expected.set(sku, made.id)
  if (made.reported === 'refused') history.reportContradiction('a new sku was refused', sku)
  if (made.reported === 'created') items.push({ sku, name: made.id })
}

async function removeOne(clients: Clients, waitS?: number): Promise<void> {
  const { history } = clients
  const item = takeItem(clients)
  if (item === undefined) return await createOne(clients, waitS)
  const gone = await remove(clients, item.sku, waitS)
  if (gone.reported === 'unknown-sku') history.reportContradiction('a created item was unknown to the delete', item.sku)
  if (gone.answer === 'accepted') history.expected.set(item.sku, undefined)
  // It is unknown whether the item was deleted.
  else if (gone.answer === 'unknown') history.expected.delete(item.sku)
}

async function listOne(clients: Clients): Promise<void> {
  const { history, items } = clients
  const item = takeItem(clients)
  if (item === undefined) return await createOne(clients, WAIT_S)
  const listed = await list(clients, `sku=${encodeURIComponent(item.sku)}`)
  if (listed !== undefined && listed.get(item.sku) !== item.name)
    history.reportContradiction(`a created item is listed as ${listed.get(item.sku) ?? 'absent'}`, item.sku)
  items.push(item)
}

function takeItem({ items, random }: Clients) {
  return items.splice(random.whole(0, Math.max(0, items.length - 1)), 1)[0]
}
