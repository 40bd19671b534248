// The commands per second of the console: what it computes from two answers, and from which it computes nothing.
import { describe, expect, it } from '@jest/globals'

const module = new URL('../src/console/page/rates.js', import.meta.url).href
const { rateMeter } = await import(module)

const answer = (second: number, accepted: number, waiting: number, producer = 'one') => ({
  producer,
  measuredAt: new Date(1_800_000_000_000 + second * 1_000).toISOString(),
  queues: [
    { queue: 'create_item', accepted, waiting, consumers: 1, deadLetters: 0 },
    // Waiting queries are no commands.
    { queue: 'movements', waiting: second * 100, consumers: 1, deadLetters: 0 },
  ],
})
const rates = ({ points }: { points: { accepted: number | null; left: number | null }[] }) =>
  points.map(({ accepted, left }) => [accepted, left])

describe('commands per second', () => {
  it('are the accepted ones, and those that do not wait any more', () => {
    const measure = rateMeter()
    expect(rates(measure(answer(0, 100, 0)))).toEqual([])
    expect(rates(measure(answer(2, 120, 6)))).toEqual([[10, 7]])
    // The queue is drained.
    expect(rates(measure(answer(4, 120, 0))).at(-1)).toEqual([0, 3])
    // Another program fills it.
    expect(rates(measure(answer(6, 120, 50))).at(-1)).toEqual([0, 0])
  })

  it('count an answer once that several requests share', () => {
    const measure = rateMeter()
    measure(answer(0, 0, 0))
    measure(answer(1, 5, 0))
    expect(rates(measure(answer(1, 5, 0)))).toEqual([[5, 5]])
  })

  it('are of one producer as long as it answers, and of the next one after a restart', () => {
    const measure = rateMeter()
    measure(answer(0, 1_000, 0))
    const mixed = measure(answer(2, 7, 0, 'two'))
    expect([rates(mixed), mixed.producer, mixed.others]).toEqual([[], 'one', true])
    expect(rates(measure(answer(4, 1_004, 0)))).toEqual([[1, 1]])
    const restarted = measure(answer(60, 3, 0, 'three'))
    expect([restarted.producer, rates(restarted).at(-1)]).toEqual(['three', [null, null]])
    expect(rates(measure(answer(62, 5, 0, 'three'))).at(-1)).toEqual([1, 1])
  })

  it('draw no line over a gap, and keep five minutes', () => {
    const measure = rateMeter()
    measure(answer(0, 0, 0))
    measure(answer(2, 2, 0))
    expect(rates(measure(answer(102, 102, 0)))).toEqual([
      [1, 1],
      [null, null],
      [1, 1],
    ])
    for (let second = 104; second < 1_000; second += 2) measure(answer(second, second, 0))
    expect(rates(measure(answer(1_000, 1_000, 0))).length).toBeLessThan(155)
  })
})
