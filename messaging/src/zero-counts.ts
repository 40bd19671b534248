// Sets counters to 0 as soon as their queue is known. Otherwise a series starts with its first event, and Prometheus sees
// no increase (https://prometheus.io/docs/practices/instrumentation/#avoid-missing-metrics)
import type { Contract } from './contract.ts'
import { NOT_ACCEPTED_REASONS } from './errors.ts'
import { countedOutcomes } from './incoming/counted-outcomes.ts'
import type { Meter } from './service.ts'

/** Counters of messages that are published to `queue`. */
export function zeroPublished(meter: Meter, queue: string): void {
  for (const metric of ['messages_confirmed', 'messages_returned', 'messages_outcome_unknown'])
    meter.count(metric, { queue }, 0)
  for (const reason of NOT_ACCEPTED_REASONS) meter.count('messages_not_accepted', { queue, reason }, 0)
}

/** Counters of consumed messages. The counters of dead letters are not included, because handlers define their reasons. */
export function zeroConsumed(meter: Meter, contract: Contract): void {
  const { kind, queue } = contract
  if (kind === 'query')
    for (const reason of ['expired', 'no-reply-address']) meter.count('queries_dropped', { queue, reason }, 0)
  // A query has no effect, so its duplicates are not counted.
  else meter.count('messages_duplicates', { queue }, 0)
  for (const outcome of countedOutcomes(contract)) meter.count('messages_applied', { queue, outcome }, 0)
  const metrics = ['messages_consumed', 'messages_retried', 'replies_sent', 'replies_unroutable', 'stale_acks_dropped']
  for (const metric of metrics) meter.count(metric, { queue }, 0)
  meter.observe('messages_held', 0, { queue })
}
