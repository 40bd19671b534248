// A service whose meter keeps sums and last values by metric and labels, for tests of metrics.
import type { Service } from '../src/service.ts'
import { quietService } from '../src/testing.ts'

export interface CountingService extends Service {
  /** The sum of a counter or the last value of a gauge. Undefined when the series does not exist. */
  value(metric: string, labels?: Record<string, string>): number | undefined
  /** Every series that was used, as `metric {labels}`. */
  series(): readonly string[]
}

export function countingService(): CountingService {
  const values = new Map<string, number>()
  const key = (metric: string, labels: Record<string, string>) => `${metric} ${JSON.stringify(labels)}`
  return {
    ...quietService,
    meter: {
      count: (metric, labels = {}, by = 1) =>
        void values.set(key(metric, labels), (values.get(key(metric, labels)) ?? 0) + by),
      observe: (metric, value, labels = {}) => void values.set(key(metric, labels), value),
    },
    value: (metric, labels = {}) => values.get(key(metric, labels)),
    series: () => [...values.keys()],
  }
}
