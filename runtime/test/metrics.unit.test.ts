// Counting and measuring by the listed names only, and the text that Prometheus reads.
import { describe, expect, it } from '@jest/globals'
import { createMeter } from '../src/index.ts'

describe('the meter', () => {
  it('shows counters, gauges and histograms with their labels', async () => {
    const { meter, registry } = createMeter('s')
    meter.count('messages_accepted', { queue: 'q' })
    meter.count('messages_accepted', { queue: 'q' }, 4)
    meter.observe('messages_unconfirmed', 7, { connection: 'publishing' })
    meter.observe('messages_unconfirmed', 3, { connection: 'publishing' })
    meter.observe('rpc_duration_seconds', 0.02, { queue: 'q' })
    const lines = (await registry.metrics()).split('\n')
    expect(lines).toContain('ims_messages_accepted_total{queue="q",service="s"} 5')
    expect(lines).toContain('ims_messages_unconfirmed{connection="publishing",service="s"} 3')
    expect(lines).toContain('ims_rpc_duration_seconds_count{service="s",queue="q"} 1')
    expect(lines).toContain('ims_rpc_duration_seconds_bucket{le="0.01",service="s",queue="q"} 0')
    expect(lines).toContain('ims_rpc_duration_seconds_bucket{le="0.025",service="s",queue="q"} 1')
  })

  it('names every metric before anything happened', async () => {
    const text = await createMeter('s').registry.metrics()
    const names = [...text.matchAll(/^# TYPE ims_(\w+) (\w+)$/gm)].map(([, name, type]) => `${type} ${name}`)
    expect(names.sort()).toEqual([
      'counter broker_reconnects_total',
      'counter http_requests_failed_total',
      'counter inbox_rows_removed_total',
      'counter log_lines_lost_total',
      'counter messages_accepted_total',
      'counter messages_applied_total',
      'counter messages_confirmed_total',
      'counter messages_consumed_total',
      'counter messages_dead_lettered_total',
      'counter messages_duplicates_total',
      'counter messages_not_accepted_total',
      'counter messages_outcome_unknown_total',
      'counter messages_refused_told_total',
      'counter messages_retried_total',
      'counter messages_returned_total',
      'counter queries_dropped_total',
      'counter replies_late_total',
      'counter replies_missing_total',
      'counter replies_sent_total',
      'counter replies_unroutable_total',
      'counter stale_acks_dropped_total',
      'gauge api_keys_problems',
      'gauge api_keys_valid',
      'gauge inventory_ids_used_ratio',
      'gauge messages_held',
      'gauge messages_unconfirmed',
      'gauge ready',
      'histogram batch_duration_seconds',
      'histogram batch_size_messages',
      'histogram http_request_duration_seconds',
      'histogram rpc_duration_seconds',
    ])
  })

  it('shows no gauge that was not measured, because 0 valid keys would mean that nobody has access', async () => {
    const { meter, registry } = createMeter('s')
    expect(await registry.metrics()).not.toMatch(/^ims_(api_keys_valid|inventory_ids_used_ratio|ready)\{/m)
    meter.observe('api_keys_valid', 0)
    expect(await registry.metrics()).toMatch(/^ims_api_keys_valid\{service="s"\} 0$/m)
  })

  it('distinguishes a wait of 25 s from one of 45 s: the longest timeouts are 30 s', async () => {
    const { meter, registry } = createMeter('s')
    for (const seconds of [25, 45]) meter.observe('rpc_duration_seconds', seconds, { queue: 'q' })
    const text = await registry.metrics()
    expect(text).toContain('ims_rpc_duration_seconds_bucket{le="30",service="s",queue="q"} 1')
    expect(text).toContain('ims_rpc_duration_seconds_bucket{le="60",service="s",queue="q"} 2')
  })

  it('rejects a name or a label that is not listed', () => {
    const { meter } = createMeter('s')
    expect(() => meter.count('messages_mislaid')).toThrow('messages_mislaid')
    expect(() => meter.observe('messages_accepted', 1)).toThrow('messages_accepted')
    expect(() => meter.count('messages_accepted', { colour: 'red' })).toThrow('colour')
  })
})
