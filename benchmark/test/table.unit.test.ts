// The benchmark table: medians, their ratios, and the column of another tree if there is one.
import { describe, expect, it } from '@jest/globals'
import { CEILING, OURS, table } from '../src/table.ts'

const rows = [
  {
    what: 'drain',
    figures: new Map([
      [OURS, [30, 10, 20]],
      ['before', [25, 25, 25]],
      [CEILING, [40, 50, 30]],
    ]),
    target: { minRatio: 0.7 },
  },
  { what: 'memory', figures: new Map([[OURS, [90]]]), target: { max: 100 } },
  { what: 'refuse', figures: new Map([[OURS, [90]]]) },
]
const lines = (text: string) => text.split('\n').slice(2)

describe('the table of the benchmark', () => {
  it('compares medians with the ceiling', () => {
    expect(lines(table(rows, 'this machine'))).toEqual([
      '| what | ours | bare ceiling | ratio | target | met |',
      '|---|---|---|---|---|---|',
      '| drain | 20 (10–30) | 40 (30–50) | 0.50 | ≥ 0.7 | no |',
      '| memory | 90 |  |  | ≤ 100 | yes |',
      '| refuse | 90 |  |  |  |  |',
    ])
  })

  it('compares them with another tree too', () => {
    expect(lines(table(rows, 'this machine', 'before'))).toEqual([
      '| what | ours | before | ours / before | bare ceiling | ratio | target | met |',
      '|---|---|---|---|---|---|---|---|',
      '| drain | 20 (10–30) | 25 (25–25) | 0.80 | 40 (30–50) | 0.50 | ≥ 0.7 | no |',
      '| memory | 90 |  |  |  |  | ≤ 100 | yes |',
      '| refuse | 90 |  |  |  |  |  |  |',
    ])
  })
})
