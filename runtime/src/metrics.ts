// All metrics with their names and descriptions. The meter accepts only these names.
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Meter } from './service.ts'
import { SinceScrape } from './since-scrape.ts'

const COUNTERS = {
  messages_confirmed: ['Messages that the broker confirmed as stored.', ['queue']],
  messages_returned: ['Messages that the broker returned because it has no such queue.', ['queue']],
  messages_not_accepted: ['Messages that were not stored, by reason.', ['queue', 'reason']],
  messages_outcome_unknown: [
    'Messages that may or may not have been stored: not confirmed in time, or rejected (nack).',
    ['queue'],
  ],
  messages_consumed: ['Deliveries from the broker, redeliveries included.', ['queue']],
  messages_applied: [
    'Messages whose effect is durable and queries that were answered, by outcome.',
    ['queue', 'outcome'],
  ],
  messages_duplicates: ['Messages that had been applied before.', ['queue']],
  messages_refused_told: [
    'Refused messages whose sender received the refusal, by reason; they leave no dead letter.',
    ['queue', 'reason'],
  ],
  messages_dead_lettered: ['Refused messages that were dead-lettered, by reason.', ['queue', 'reason']],
  messages_retried: ['Messages that an attempt could not apply; each attempt counts.', ['queue']],
  queries_dropped: [
    'Queries that were dropped before any work, by reason: expired or no-reply-address.',
    ['queue', 'reason'],
  ],
  replies_sent: ['Replies that the broker confirmed.', ['queue']],
  replies_unroutable: ['Replies that could not be delivered.', ['queue']],
  replies_missing: ['Requests whose reply did not arrive before their deadline.', ['queue']],
  replies_late: ['Replies that arrived when nobody waited for them any more.', []],
  stale_acks_dropped: ['Acks that were dropped because their channel was closed.', ['queue']],
  inbox_rows_removed: ['Rows of the inbox that were removed because they were older than the retention.', []],
  log_lines_lost: ['Log lines that were dropped because standard output did not accept them.', []],
  http_requests_failed: [
    'HTTP requests that were answered with a status of 500 or more, by reason.',
    ['route', 'status', 'reason'],
  ],
  broker_reconnects: ['Connections to the broker that were opened again after a loss.', ['connection']],
} as const satisfies Metrics

/** The buckets include the longest timeouts, so that a quantile shows when they are reached. */
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]
const HISTOGRAMS = {
  rpc_duration_seconds: ['Time from a request to its reply.', ['queue'], SECONDS],
  batch_duration_seconds: ['Time that a handler took for a batch.', ['queue'], SECONDS],
  batch_size_messages: ['Messages in a batch.', ['queue'], [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]],
  http_request_duration_seconds: [
    'Time from an HTTP request to the end of its response.',
    ['route', 'method', 'status'],
    SECONDS,
  ],
} as const satisfies Histograms

const GAUGES = {
  ready: ['1 when the service can do its work, 0 when not; /readyz says why.', []],
  api_keys_valid: ['API keys that are valid.', []],
  api_keys_problems: ['Lines of API_KEYS_FILE that hold no key, or 1 when it cannot be read.', []],
  messages_unconfirmed: ['Messages that await their confirm.', ['connection']],
  messages_held: [
    'Unacknowledged messages of a queue that waits: for a dependency, or until dead letters can be written.',
    ['queue'],
  ],
  inventory_ids_used_ratio: ['Share of the ids of the table inventory that is used up, 0 to 1.', []],
  inventory_low_stock_items: ['Items with a quantity below LOW_STOCK_BELOW.', []],
} as const satisfies Metrics

type Metrics = Record<string, readonly [help: string, labels: readonly string[]]>
type Histograms = Record<string, readonly [help: string, labels: readonly string[], buckets: readonly number[]]>

const PREFIX = 'ims_'

/** One metric as Prometheus sees it. */
export interface MetricRow {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly labels: readonly string[]
  readonly help: string
}

/** Every metric that a service of the suite may export, by name. */
export const METRICS: readonly MetricRow[] = [
  ...Object.entries(COUNTERS).map(([name, [help, labels]]) => row(`${name}_total`, 'counter', labels, help)),
  ...Object.entries(HISTOGRAMS).map(([name, [help, labels]]) => row(name, 'histogram', labels, help)),
  ...Object.entries(GAUGES).map(([name, [help, labels]]) => row(name, 'gauge', labels, help)),
].sort((a, b) => (a.name < b.name ? -1 : 1))

function row(name: string, type: MetricRow['type'], labels: readonly string[], help: string): MetricRow {
  return { name: PREFIX + name, type, labels, help }
}

/**
 * A registry with the metrics of the suite and of the process, and the meter that updates it. A metric is exported after
 * its first count or observation, even of 0. A metric that a service never counts or observes is not exported.
 */
export function createMeter(service: string): { meter: Meter; registry: Registry } {
  const registry = new Registry()
  registry.setDefaultLabels({ service })
  collectDefaultMetrics({ register: registry })
  const registers = [registry]
  const counters = new Map<string, SinceScrape>()
  const measures = new Map<string, (labels: Record<string, string>, value: number) => void>()
  const counterOf = (name: string): SinceScrape => {
    const [help, labels] = known<Metrics[string]>(COUNTERS, name)
    const counter = new Counter({
      name: `${PREFIX}${name}_total`,
      help,
      labelNames: [...labels],
      registers,
      collect: () => sums.flush(),
    })
    const sums = new SinceScrape(
      labels,
      (values, by) => counter.inc(values, by),
      (before, by) => before + by,
    )
    return sums
  }
  const measureOf = (name: string): ((labels: Record<string, string>, value: number) => void) => {
    if (Object.hasOwn(GAUGES, name)) {
      const [help, labels] = known<Metrics[string]>(GAUGES, name)
      const gauge = new Gauge({
        name: PREFIX + name,
        help,
        labelNames: [...labels],
        registers,
        collect: () => last.flush(),
      })
      const last = new SinceScrape(
        labels,
        (values, value) => gauge.set(values, value),
        (_, value) => value,
      )
      return (values, value) => last.change(values, value)
    }
    const [help, labels, buckets] = known<Histograms[string]>(HISTOGRAMS, name)
    const histogram = new Histogram({
      name: PREFIX + name,
      help,
      labelNames: [...labels],
      buckets: [...buckets],
      registers,
    })
    return (values, value) => histogram.observe(values, value)
  }
  const meter: Meter = {
    count: (metric, labels = {}, by = 1) => once(counters, metric, counterOf).change(labels, by),
    observe: (metric, value, labels = {}) => once(measures, metric, measureOf)(labels, value),
  }
  return { meter, registry }
}

function once<T>(made: Map<string, T>, name: string, make: (name: string) => T): T {
  const found = made.get(name)
  if (found !== undefined) return found
  const first = make(name)
  made.set(name, first)
  return first
}

function known<T>(metrics: Readonly<Record<string, T>>, metric: string): T {
  const found = Object.hasOwn(metrics, metric) ? metrics[metric] : undefined
  if (found === undefined) throw new Error(`there is no metric ${metric}: list it in runtime/src/metrics.ts`)
  return found
}
