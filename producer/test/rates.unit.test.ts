// The commands per second on the console, which are computed from two responses of GET /queues.
import { describe, expect, it } from '@jest/globals'

const module = new URL('../src/console/page/rates.js', import.meta.url).href
const { rateMeter } = await import(module)

const response = (second: number, accepted: number, waiting: number, producer = 'one') => ({
  producer,
  measuredAt: new Date(1_800_000_000_000 + second * 1_000).toISOString(),
  queues: [
    { queue: 'create_item', accepted, waiting, consumers: 1, deadLetters: 0 },
    // Queries are not commands.
    { queue: 'movements', waiting: second * 100, consumers: 1, deadLetters: 0 },
  ],
})
const rates = ({ points }: { points: { accepted: number | null; left: number | null }[] }) =>
  points.map(({ accepted, left }) => [accepted, left])

describe('commands per second', () => {
  it('are computed for accepted commands and for commands that left the queues', () => {
    const measure = rateMeter()
    expect(rates(measure(response(0, 100, 0)))).toEqual([])
    expect(rates(measure(response(2, 120, 6)))).toEqual([[10, 7]])
    // The queue is drained.
    expect(rates(measure(response(4, 120, 0))).at(-1)).toEqual([0, 3])
    // Another program fills the queue.
    expect(rates(measure(response(6, 120, 50))).at(-1)).toEqual([0, 0])
  })

  it('count a repeated response once', () => {
    const measure = rateMeter()
    measure(response(0, 0, 0))
    measure(response(1, 5, 0))
    expect(rates(measure(response(1, 5, 0)))).toEqual([[5, 5]])
  })

  it('belong to one producer as long as it responds, and to another one after a restart', () => {
    const measure = rateMeter()
    measure(response(0, 1_000, 0))
    const mixed = measure(response(2, 7, 0, 'two'))
    expect([rates(mixed), mixed.producer, mixed.others]).toEqual([[], 'one', true])
    expect(rates(measure(response(4, 1_004, 0)))).toEqual([[1, 1]])
    const restarted = measure(response(60, 3, 0, 'three'))
    expect([restarted.producer, rates(restarted).at(-1)]).toEqual(['three', [null, null]])
    expect(rates(measure(response(62, 5, 0, 'three'))).at(-1)).toEqual([1, 1])
  })

  it('have no line across a gap, and cover at most the last five minutes', () => {
    const measure = rateMeter()
    measure(response(0, 0, 0))
    measure(response(2, 2, 0))
    expect(rates(measure(response(102, 102, 0)))).toEqual([
      [1, 1],
      [null, null],
      [1, 1],
    ])
    for (let second = 104; second < 1_000; second += 2) measure(response(second, second, 0))
    expect(rates(measure(response(1_000, 1_000, 0))).length).toBeLessThan(155)
  })
})
