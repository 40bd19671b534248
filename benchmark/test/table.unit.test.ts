// The result as a table and as a page. Each comparison has its ratio, an earlier ratio if there is one, its goal and whether it is met.
import { describe, expect, it } from '@jest/globals'
import { isMet, median, type Row, rowOf } from '../src/measured.ts'
import { page } from '../src/page.ts'
import { table } from '../src/table.ts'

const drain: Row = {
  scenario: 'drain',
  what: 'drain creates',
  unit: 'messages/s',
  figures: { ours: [30, 10, 20], floor: [40, 50, 30], 'NestJS & co': [4, 5, 2] },
  cpuUs: { ours: { consumer_two: [15, 14, 16], other: [5, 5, 5] }, floor: { floor: [10, 9, 11] } },
  goals: [{ against: 'floor', min: 0.95 }],
}
const memory: Row = {
  scenario: 'memory',
  what: 'idle',
  unit: 'MB',
  figures: { ours: [85] },
  cpuUs: {},
  goals: [{ max: 90 }],
}
const result = {
  startedAt: '2026-11-27T15:00:00.000Z',
  command: 'npm run bench',
  commit: 'abc',
  isQuick: false,
  rounds: 3,
  machine: '2 × <processor>',
  load: [0.5, 2],
  versions: { Node: '24.0.0' },
  rows: [drain, memory],
}
const lines = (text: string) => text.split('\n')

describe('the table of the benchmark', () => {
  it('has a line for each comparison, with medians, ranges, CPU time, and whether the goal is met', () => {
    expect(lines(table([drain, memory]))).toEqual([
      '| what | ours | against | theirs | ratio | by CPU | goal | met |',
      '|---|---|---|---|---|---|---|---|',
      '| drain creates (messages/s) | 20.0 (10.0–30.0) · consumer_two 15.0 µs · other 5.00 µs | floor | 40.0 (30.0–50.0) · 10.0 µs | 0.50 | 0.50 | ≥ 0.95 | no |',
      '| drain creates (messages/s) | 20.0 (10.0–30.0) · consumer_two 15.0 µs · other 5.00 µs | NestJS & co | 4.00 (2.00–5.00) | 5.00 |  |  |  |',
      '| idle (MB) | 85.0 |  |  |  |  | ≤ 90 | yes |',
    ])
  })

  it('shows the ratios of an earlier run in their own column', () => {
    const before = [{ ...drain, figures: { ours: [9, 9, 9], floor: [10, 10, 10] } }]
    expect(lines(table([drain], before)).slice(0, 3)).toEqual([
      '| what | ours | against | theirs | ratio | by CPU | before | goal | met |',
      '|---|---|---|---|---|---|---|---|---|',
      '| drain creates (messages/s) | 20.0 (10.0–30.0) · consumer_two 15.0 µs · other 5.00 µs | floor | 40.0 (30.0–50.0) · 10.0 µs | 0.50 | 0.50 | 0.90 | ≥ 0.95 | no |',
    ])
  })

  it('says whether a goal is met only if both contestants were measured', () => {
    expect(isMet(drain, { against: 'nobody', min: 1 })).toBeUndefined()
    expect(isMet(drain, { against: 'floor', max: 0.5 })).toBe(true)
  })

  it('takes the mean of the two middle figures as the median of an even number of figures, and throws without figures', () => {
    expect(median([4, 1, 3, 2])).toBe(2.5)
    expect(() => median([])).toThrow('no figures for a median')
  })

  it('lists the CPU time of each process separately', () => {
    const results = new Map([
      [
        'ours',
        [
          { figure: 1, cpuUs: { a: 2, b: 3 } },
          { figure: 4, cpuUs: { a: 5, b: 6 } },
        ],
      ],
    ])
    expect(rowOf({ scenario: 's', what: 'w', unit: 'u' }, results, (result) => result)).toMatchObject({
      figures: { ours: [1, 4] },
      cpuUs: { ours: { a: [2, 5], b: [3, 6] } },
    })
  })
})

describe('the page of the benchmark', () => {
  it('has a plot for each row, runs no script and loads nothing', () => {
    const html = page(result, result)
    expect(html.match(/<svg /g)).toHaveLength(2)
    expect(html).not.toMatch(/<script|<link|<img|<iframe|https?:|url\(|@import/)
  })

  it('escapes HTML in names and values', () => {
    expect(page(result)).toContain('NestJS &amp; co')
    expect(page(result)).toContain('2 × &lt;processor&gt;')
  })
})
