// Counts the outcomes of the rows. Each row is counted once, when its outcome is known or the import gives up.
import type { Outcome } from './send-item.ts'

export class Tally {
  readonly counts: Record<Outcome['kind'] | 'valid', number> = {
    created: 0,
    before: 0,
    rejected: 0,
    unknown: 0,
    valid: 0,
  }
  readonly #startedAt = performance.now()

  count(kind: keyof Tally['counts']): void {
    this.counts[kind] += 1
  }

  get rows(): number {
    return Object.values(this.counts).reduce((sum, each) => sum + each, 0)
  }

  get rowsPerSecond(): number {
    return Math.round(this.rows / Math.max(0.001, (performance.now() - this.#startedAt) / 1_000))
  }

  /** One line with all counts. A dry run only knows which rows are valid. */
  summary(isDryRun: boolean): string {
    const { created, before, rejected, unknown, valid } = this.counts
    const counts = isDryRun
      ? `${shown(valid)} valid, ${shown(rejected)} rejected; nothing was sent`
      : `${shown(created)} created, ${shown(before)} created before, ${shown(rejected)} rejected, ${shown(unknown)} unknown`
    return `${shown(this.rows)} rows: ${counts}`
  }
}

const shown = (count: number): string => count.toLocaleString('en')
