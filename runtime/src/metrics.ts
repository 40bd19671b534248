// The metrics: every name, once, with what it means; counted and measured through a meter that knows no other.
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Meter } from './service.ts'

const COUNTERS = {
  messages_accepted: ['messages given to the publisher', ['queue']],
  messages_confirmed: ['messages that the broker confirmed as stored', ['queue']],
  messages_returned: ['messages that the broker sent back, having no such queue', ['queue']],
  messages_not_accepted: ['messages that were not stored, by reason', ['queue', 'reason']],
  messages_outcome_unknown: [
    'messages that may or may not have been stored: not confirmed in time, or rejected (nack)',
    ['queue'],
  ],
  messages_consumed: ['deliveries from the broker, redeliveries included', ['queue']],
  messages_applied: ['messages whose effect is durable', ['queue']],
  messages_duplicates: ['messages found to have been applied before', ['queue']],
  messages_refused_told: [
    'messages refused whose sender heard of it, by reason; they leave no dead letter',
    ['queue', 'reason'],
  ],
  messages_dead_lettered: ['messages set aside, by reason', ['queue', 'reason']],
  messages_retried: ['messages that an attempt could not apply', ['queue']],
  queries_dropped: ['queries dropped before any work: expired, or without an address to reply to', ['queue', 'reason']],
  replies_sent: ['replies that the broker confirmed', ['queue']],
  replies_unroutable: ['replies that could not be delivered', ['queue']],
  replies_missing: ['replies that had not come when the time for them was up', ['queue']],
  replies_late: ['replies that came when nobody waited for them any more', []],
  stale_acks_dropped: ['acks dropped because their channel was gone', ['queue']],
  inbox_rows_removed: ['rows of the inbox removed because they were older than the retention', []],
  log_lines_lost: ['log lines dropped because standard output did not take them', []],
  http_requests_failed: ['HTTP requests answered with a status from 500 on, by reason', ['route', 'status', 'reason']],
  broker_reconnects: ['connections to the broker opened again after a loss', ['connection']],
} as const satisfies Metrics

/** Up to the longest timeouts, so that a quantile can show that they were reached. */
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]
const HISTOGRAMS = {
  rpc_duration_seconds: ['time from a request to its reply', ['queue'], SECONDS],
  batch_duration_seconds: ['time that a handler took for a batch', ['queue'], SECONDS],
  batch_size_messages: ['messages in a batch', ['queue'], [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]],
  http_request_duration_seconds: [
    'time from an HTTP request to the end of its answer',
    ['route', 'method', 'status'],
    SECONDS,
  ],
} as const satisfies Record<string, readonly [string, readonly string[], readonly number[]]>

const GAUGES = {
  ready: ['1 when the service can do its work, 0 when not; /readyz says why', []],
  api_keys_valid: ['API keys that are valid', []],
  api_keys_problems: ['lines of API_KEYS_FILE that hold no key, or 1 when it cannot be read', []],
  messages_unconfirmed: ['messages that await their confirm', ['connection']],
  messages_held: ['messages kept unacked, to be tried again when the world is better', ['queue']],
  inventory_ids_used_ratio: ['share of the ids of the table inventory that is used up, 0 to 1', []],
} as const satisfies Metrics

type Metrics = Record<string, readonly [help: string, labels: readonly string[]]>

const PREFIX = 'ims_'

/** A registry with all metrics of the suite and of the process, and the meter that feeds it. */
export function createMeter(service: string): { meter: Meter; registry: Registry } {
  const registry = new Registry()
  registry.setDefaultLabels({ service })
  collectDefaultMetrics({ register: registry })
  const registers = [registry]
  const counters = new Map<string, Counter>()
  for (const [name, [help, labels]] of Object.entries(COUNTERS))
    counters.set(name, new Counter({ name: `${PREFIX}${name}_total`, help, labelNames: [...labels], registers }))
  const measures = new Map<string, (labels: Record<string, string>, value: number) => void>()
  for (const [name, [help, labels, buckets]] of Object.entries(HISTOGRAMS)) {
    const histogram = new Histogram({
      name: PREFIX + name,
      help,
      labelNames: [...labels],
      buckets: [...buckets],
      registers,
    })
    measures.set(name, (values, value) => histogram.observe(values, value))
  }
  for (const [name, [help, labels]] of Object.entries(GAUGES)) {
    const gauge = new Gauge({ name: PREFIX + name, help, labelNames: [...labels], registers })
    // Without a label it would say 0 before anything was measured.
    gauge.remove({})
    measures.set(name, (values, value) => gauge.set(values, value))
  }
  const meter: Meter = {
    count: (metric, labels = {}, by = 1) => known(counters, metric).inc(labels, by),
    observe: (metric, value, labels = {}) => known(measures, metric)(labels, value),
  }
  return { meter, registry }
}

function known<T>(metrics: ReadonlyMap<string, T>, metric: string): T {
  const found = metrics.get(metric)
  if (found === undefined) throw new Error(`there is no metric ${metric}: list it in runtime/src/metrics.ts`)
  return found
}
