// The changes of one metric since the last scrape, by labels. prom-client looks up a series by a string of all label
// names and values. That lookup costs more than some of the counted operations, so most changes are applied only at a scrape.

type Labels = Readonly<Record<string, string>>

export class SinceScrape {
  readonly #names: readonly string[]
  readonly #apply: (labels: Labels, value: number) => void
  readonly #combine: (before: number, value: number) => number
  /** `value` is undefined when nothing has changed. */
  readonly #series = new Map<string, { readonly labels: Labels; value: number | undefined }>()

  constructor(
    names: readonly string[],
    apply: (labels: Labels, value: number) => void,
    combine: (before: number, value: number) => number,
  ) {
    this.#names = names
    this.#apply = apply
    this.#combine = combine
  }

  /** Applies the first value of a series at once, which throws if a label is not one of `names`. `flush` applies later values. */
  change(labels: Labels, value: number): void {
    const key = this.#keyOf(labels)
    const series = this.#series.get(key)
    if (series !== undefined) series.value = series.value === undefined ? value : this.#combine(series.value, value)
    else {
      this.#apply(labels, value)
      this.#series.set(key, { labels, value: undefined })
    }
  }

  flush(): void {
    for (const series of this.#series.values()) {
      if (series.value === undefined) continue
      this.#apply(series.labels, series.value)
      series.value = undefined
    }
  }

  #keyOf(labels: Labels): string {
    // Most metrics have one label. Its value is the key.
    if (this.#names.length === 1) return labels[this.#names[0] ?? ''] ?? ''
    let key = ''
    for (const name of this.#names) key += `${labels[name] ?? ''}\n`
    return key
  }
}
