// Divides a limited amount among clients, so that one of them cannot take all of it.

export class Shares {
  readonly #max: number
  readonly #maxEach: number
  readonly #taken = new Map<string, number>()
  #total = 0

  /** `max` is the total, `maxEach` the maximum for one client. */
  constructor(max: number, maxEach: number) {
    this.#max = max
    this.#maxEach = maxEach
  }

  /** Takes `amount` for `client`. Returns false when not enough is left, or when the client would exceed its share. */
  take(client: string, amount = 1): boolean {
    const taken = (this.#taken.get(client) ?? 0) + amount
    if (this.#total + amount > this.#max || taken > this.#maxEach) return false
    this.#total += amount
    this.#taken.set(client, taken)
    return true
  }

  /** Makes an amount that `client` has taken available again. */
  giveBack(client: string, amount = 1): void {
    const taken = (this.#taken.get(client) ?? 0) - amount
    this.#total -= amount
    if (taken > 0) this.#taken.set(client, taken)
    else this.#taken.delete(client)
  }

  /** The amount that `client` has taken. */
  takenBy(client: string): number {
    return this.#taken.get(client) ?? 0
  }

  /** The client that has taken the most. Undefined if none has taken anything. */
  get largest(): string | undefined {
    let largest: string | undefined
    for (const client of this.#taken.keys())
      if (largest === undefined || this.takenBy(client) > this.takenBy(largest)) largest = client
    return largest
  }
}
