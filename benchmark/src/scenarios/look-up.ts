// GET /messages/{id} with a large inbox and many dead letters.
import { z } from 'zod'
import { endAll, httpHost, producer, type Scenario } from '../bench.ts'
import { interleaved, type Row, rowOf } from '../measured.ts'
import { until } from '../processes.ts'
import { fillDeadLetters, fillInbox } from '../stage.ts'

const RATES = [20, 200]
const latencies = z.object({ p50Ms: z.number(), p99Ms: z.number() })

export const lookUp: Scenario = {
  name: 'look-up',
  about: 'GET /messages/{id} with 10,000,000 rows in the inbox and 100,000 dead letters',
  async measure({ stages: [stage], extent, progress }) {
    const { inbox, deadLetters, rounds, openLoopS } = extent
    progress('look-up: filling the inbox and the dead letters')
    await fillInbox(stage, inbox)
    await fillDeadLetters(stage, deadLetters)
    const consumer_four = stage.service('consumer_four')
    const host = await httpHost(stage, stage.name, (port) => ({ ...producer(stage)(port), consumer_four }))
    const isConsumed = async () => (await stage.channel.checkQueue('message_status')).consumerCount > 0
    await until('consumer four consumes', isConsumed, 10, 60)
    const rows: Row[] = []
    for (const perSecond of RATES) {
      const url = `${host.url}/messages/00000000-0000-7000-8000-{n}`
      const args = [JSON.stringify({ url, perSecond, durationS: openLoopS, readsBelow: inbox })]
      const measure = async () =>
        latencies.parse(JSON.parse(await stage.processes.run({ file: 'benchmark/src/open-loop.ts', env: {}, args })))
      const what = `${perSecond} look-ups a second, ${inbox.toLocaleString('en')} rows`
      const results = await interleaved(rounds, [{ name: stage.name, measure }], (line) => progress(`${what}: ${line}`))
      const about = (percentile: string) => ({ scenario: 'look-up', what: `${what}, ${percentile}`, unit: 'ms' })
      rows.push(
        rowOf(about('p50'), results, ({ p50Ms }) => ({ figure: p50Ms })),
        rowOf({ ...about('p99'), goals: [{ max: 20 }] }, results, ({ p99Ms }) => ({ figure: p99Ms })),
      )
    }
    await endAll(host.running)
    await stage.pool.query('TRUNCATE TABLE inbox')
    await stage.channel.purgeQueue('create_item.dead-letter')
    return rows
  },
}
