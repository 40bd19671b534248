// Shares: no client can take all of a limited amount.
import { describe, expect, it } from '@jest/globals'
import { Shares } from '../src/index.ts'

describe('shares', () => {
  it('limit one client, so that others can still take their share', () => {
    const shares = new Shares(10, 5)
    const taken = Array.from({ length: 8 }, () => shares.take('greedy'))
    expect(taken.filter(Boolean)).toHaveLength(5)
    expect(shares.take('other', 5)).toBe(true)
    expect(shares.take('third')).toBe(false)
    expect(shares.largest).toBe('greedy')
  })

  it('can be taken by another client after they were returned', () => {
    const shares = new Shares(2, 2)
    expect([shares.take('a', 2), shares.take('a')]).toEqual([true, false])
    shares.giveBack('a', 2)
    expect([shares.takenBy('a'), shares.take('b', 2)]).toEqual([0, true])
  })
})
