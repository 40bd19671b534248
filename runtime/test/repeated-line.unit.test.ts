// A repeated log line is written at once, and then at intervals.
import { expect, it } from '@jest/globals'
import { RepeatedLine } from '../src/repeated-line.ts'

function line() {
  const at = { ms: 0 }
  return { at, line: new RepeatedLine(30_000, () => at.ms) }
}

it('a repeated line is due at once, then every 30 s with the number of lines that it represents', () => {
  const { at, line: of } = line()
  const logged: unknown[] = []
  for (at.ms = 0; at.ms <= 65_000; at.ms += 5_000) {
    const lines = of.due('MySQL is away')
    if (lines !== undefined) logged.push([at.ms, lines])
  }
  expect(logged).toEqual([
    [0, 1],
    [30_000, 6],
    [60_000, 6],
  ])
})

it('the first line of another cause is due at once, and so is the first line of any cause after a reset', () => {
  const { line: of } = line()
  expect([of.due('a'), of.due('b'), of.due('a')]).toEqual([1, 1, undefined])
  of.reset()
  expect(of.due('a')).toBe(1)
})

it('the last hundred causes are remembered', () => {
  const { line: of } = line()
  for (let cause = 0; cause <= 100; cause += 1) of.due(`cause ${cause}`)
  expect([of.due('cause 1'), of.due('cause 0')]).toEqual([undefined, 1])
})
