// The meter accepts only listed metrics, and exports them in the text format of Prometheus.
import { spawnSync } from 'node:child_process'
import { describe, expect, it } from '@jest/globals'
import { createMeter, METRICS } from '../src/index.ts'

describe('the meter', () => {
  it('exports counters, gauges and histograms with their labels', async () => {
    const { meter, registry } = createMeter('s')
    meter.count('messages_confirmed', { queue: 'q' })
    meter.count('messages_confirmed', { queue: 'q' }, 4)
    meter.observe('messages_unconfirmed', 7, { connection: 'publishing' })
    meter.observe('messages_unconfirmed', 3, { connection: 'publishing' })
    meter.observe('rpc_duration_seconds', 0.02, { queue: 'q' })
    const lines = (await registry.metrics()).split('\n')
    expect(lines).toContain('ims_messages_confirmed_total{queue="q",service="s"} 5')
    expect(lines).toContain('ims_messages_unconfirmed{connection="publishing",service="s"} 3')
    expect(lines).toContain('ims_rpc_duration_seconds_count{service="s",queue="q"} 1')
    expect(lines).toContain('ims_rpc_duration_seconds_bucket{le="0.01",service="s",queue="q"} 0')
    expect(lines).toContain('ims_rpc_duration_seconds_bucket{le="0.025",service="s",queue="q"} 1')
  })

  it('exports all changes since the last scrape, and counts each of them once', async () => {
    const { meter, registry } = createMeter('s')
    const shown = async (pattern: RegExp) => [...(await registry.metrics()).matchAll(pattern)].map(([, value]) => value)
    const refused = /^ims_messages_not_accepted_total\{.*\} (\d+)$/gm
    for (const queue of ['a', 'b', 'a', 'a']) meter.count('messages_not_accepted', { queue, reason: 'b' })
    meter.count('messages_not_accepted', { reason: 'b', queue: 'a' }, 5)
    expect(await shown(refused)).toEqual(['8', '1'])
    meter.count('messages_not_accepted', { queue: 'b', reason: 'b' })
    expect(await shown(refused)).toEqual(['8', '2'])
    expect(await shown(refused)).toEqual(['8', '2'])
    for (const held of [7, 3, 0]) meter.observe('messages_held', held, { queue: 'a' })
    expect(await shown(/^ims_messages_held\{.*\} (\d+)$/gm)).toEqual(['0'])
  })

  it('exports only metrics that were counted or observed, even with 0', async () => {
    const { meter, registry } = createMeter('s')
    const shown = async () => [...(await registry.metrics()).matchAll(/^# TYPE ims_(\w+) /gm)].map(([, name]) => name)
    expect(await shown()).toEqual([])
    meter.count('replies_late', {}, 0)
    meter.count('messages_applied', { queue: 'q', outcome: 'created' }, 0)
    meter.observe('batch_size_messages', 3, { queue: 'q' })
    expect((await shown()).sort()).toEqual(['batch_size_messages', 'messages_applied_total', 'replies_late_total'])
    expect(await registry.metrics()).toMatch(/^ims_messages_applied_total\{.*outcome="created".*\} 0$/m)
  })

  const promtool = spawnSync('promtool', ['--version']).error === undefined ? it : it.skip
  promtool('passes `promtool check metrics` with every metric', async () => {
    const { meter, registry } = createMeter('s')
    for (const { name, type, labels } of METRICS) {
      const values = Object.fromEntries(labels.map((label) => [label, 'x']))
      if (type === 'counter') meter.count(name.replace(/^ims_(.*)_total$/, '$1'), values)
      else meter.observe(name.replace(/^ims_/, ''), 1, values)
    }
    const text = await registry.metrics()
    // The metrics of the process are defined by prom-client and are not checked.
    const ours = text.split('\n').filter((line) => /^(# (HELP|TYPE) )?ims_/.test(line))
    expect(ours.filter((line) => line.startsWith('# TYPE'))).toHaveLength(METRICS.length)
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: `${ours.join('\n')}\n` })
    expect({ status, logged: `${stdout}${stderr}` }).toEqual({ status: 0, logged: '' })
  })

  it('describes every metric in one sentence', () => {
    for (const { name, help } of METRICS)
      expect([name, help]).toEqual([name, expect.stringMatching(/^[A-Z0-9].*[^.]\.$/)])
  })

  it('does not export a gauge that was not observed, because 0 valid API keys would trigger an alert', async () => {
    const { meter, registry } = createMeter('s')
    expect(await registry.metrics()).not.toMatch(/^ims_(api_keys_valid|inventory_ids_used_ratio|ready)\{/m)
    meter.observe('api_keys_valid', 0)
    expect(await registry.metrics()).toMatch(/^ims_api_keys_valid\{service="s"\} 0$/m)
  })

  it('has a bucket limit at 30 s, the longest timeout: 25 s and 45 s are in different buckets', async () => {
    const { meter, registry } = createMeter('s')
    for (const seconds of [25, 45]) meter.observe('rpc_duration_seconds', seconds, { queue: 'q' })
    const text = await registry.metrics()
    expect(text).toContain('ims_rpc_duration_seconds_bucket{le="30",service="s",queue="q"} 1')
    expect(text).toContain('ims_rpc_duration_seconds_bucket{le="60",service="s",queue="q"} 2')
  })

  it('rejects a name or a label that is not listed', () => {
    const { meter } = createMeter('s')
    expect(() => meter.count('messages_mislaid')).toThrow('messages_mislaid')
    expect(() => meter.observe('messages_confirmed', 1)).toThrow('messages_confirmed')
    expect(() => meter.count('messages_confirmed', { colour: 'red' })).toThrow('colour')
  })
})
