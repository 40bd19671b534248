// The check of the stock: an item has its initial quantity plus its movements, and each movement belongs to one message.
import type { Attempt } from './history.ts'
import type { Found, Violation } from './ledger.ts'

/** A row of the inventory as recorded by triggers, even if it was deleted later. */
export interface ItemFound {
  readonly id: number
  readonly sku: string
  readonly created: number
  /** The quantity now, or at the time of the delete. */
  readonly quantity: number
}

export interface MovementFound {
  /** Increases in the order in which movements are written. */
  readonly id: number
  readonly itemId: number
  readonly messageId: string
  readonly sku: string
  readonly change: number
  readonly before: number
  readonly after: number
}

type FoundStock = Pick<Found, 'items' | 'movements'>

/** Contradictions between the stock and the messages that changed it. */
export function judgeStock(attempts: readonly Attempt[], found: FoundStock): Violation[] {
  const byId = new Map(attempts.map((attempt) => [attempt.id, attempt]))
  const movements = [...found.movements].flatMap(([attempt, all]) => all.map((movement) => ({ ...movement, attempt })))
  const moved = Map.groupBy(
    movements.sort((one, other) => one.id - other.id),
    ({ itemId }) => itemId,
  )
  const known = new Set(found.items.map(({ id }) => id))
  return [
    ...found.items.flatMap((item) => judgeItem(item, moved.get(item.id) ?? [], attempts)),
    ...movements.flatMap((movement) => judgeMovement(movement, byId.get(movement.attempt), known)),
  ]
}

/** The movements of an item must lead from its initial quantity to its current quantity without a gap. */
function judgeItem(item: ItemFound, moved: readonly MovementFound[], attempts: readonly Attempt[]): Violation[] {
  let quantity = item.created
  for (const movement of moved) {
    if (movement.before !== quantity || movement.after !== quantity + movement.change) break
    quantity = movement.after
  }
  const sum = moved.reduce((total, { change }) => total + change, item.created)
  if (quantity === item.quantity && sum === item.quantity) return []
  const steps = moved.map(({ change, before, after }) => `${change} (${before} to ${after})`).join(', ') || 'none'
  const text = `${item.sku} was created with ${item.created} and has ${item.quantity}; its movements: ${steps}`
  return [{ what: 'stock', text, attempt: attempts.findLast(({ sku }) => sku === item.sku) }]
}

function judgeMovement(
  { itemId, messageId, sku, change, after }: MovementFound,
  attempt: Attempt | undefined,
  known: ReadonlySet<number>,
): Violation[] {
  const say = (what: Violation['what'], text: string): Violation[] => [{ what, text, attempt }]
  const named = `a movement of ${sku} by ${change}`
  if (!known.has(itemId)) return say('stock', `${named} names an item that was never stored`)
  const isSent = attempt?.sku === sku && attempt.change === change
  if (!isSent || (attempt.messageId ?? messageId) !== messageId)
    return say('never sent', `${named} has message id ${messageId}, but was never sent with it`)
  if (attempt.quantity !== undefined && attempt.quantity !== after)
    return say('contradiction', `reported a stock of ${attempt.quantity}, but the change left ${after}`)
  return []
}

/** The lowest quantity that each sku ever had. */
export function lowestBySku({ items, movements }: FoundStock): ReadonlyMap<string, number> {
  const lowest = new Map<string, number>()
  const note = (sku: string, quantity: number) => lowest.set(sku, Math.min(quantity, lowest.get(sku) ?? quantity))
  for (const { sku, created } of items) note(sku, created)
  for (const { sku, after } of [...movements.values()].flat()) note(sku, after)
  return lowest
}

/** Returns true if the stock can justify this refusal. `ofSku` are all attempts with the same sku. */
export function isFairRefusal(
  reason: string,
  { change = 0 }: Attempt,
  ofSku: readonly Attempt[],
  lowest: number | undefined,
): boolean {
  if (reason === 'insufficient-stock') return lowest !== undefined && lowest + change < 0
  const isStored = ofSku.some(({ reported }) => reported === 'created') && ofSku.every(({ kind }) => kind !== 'delete')
  return reason === 'unknown-sku' && !isStored
}
