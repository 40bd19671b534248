// Runs are reproducible, and the saved schedules and 300 others violate no invariant.
import { expect, it } from '@jest/globals'
import { cases } from '../src/cases.ts'
import { readable } from '../src/plan.ts'
import { run } from '../src/run.ts'
import { search } from '../src/search.ts'

it('writes the same log each time it runs a schedule', async () => {
  const lines = async () => {
    const logged: string[] = []
    const message = { atMs: 500, kind: 'command' as const, sku: 1, from: 0 }
    const faults = [{ atMs: 505, kind: 'restart' as const, at: 0, ms: 3_000 }]
    await run({ seed: 7, quorum: true, countsNacks: true, topology: 'declare', messages: [message], faults }, (line) =>
      logged.push(line),
    )
    return logged
  }
  const first = await lines()
  expect(first.length).toBeGreaterThan(20)
  expect(await lines()).toEqual(first)
})

it('violates no invariant in schedules that once violated one', async () => {
  for (const { name, plan } of cases())
    expect({ name, plan: readable(plan), broken: await run(plan) }).toMatchObject({ broken: undefined })
})

it('violates no invariant in 300 schedules', async () => {
  expect((await search({ seed: 1, runs: 300 })).failure).toBeUndefined()
})
