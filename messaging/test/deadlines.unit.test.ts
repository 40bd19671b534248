// Many deadlines of the same length. Each expires by itself, by a clock that the test sets.
import { describe, expect, it } from '@jest/globals'
import { Deadlines } from '../src/deadlines.ts'
import { type Clock, clockOf } from '../src/scope.ts'

/** Deadlines of 1,000 ms. */
function waits() {
  let nowMs = 0
  const timers = new Set<{ atMs: number; due: () => void }>()
  const clock: Clock = {
    ...clockOf({}),
    nowMs: () => nowMs,
    after: (ms, due) => {
      const timer = { atMs: nowMs + ms, due }
      timers.add(timer)
      return () => void timers.delete(timer)
    },
    afterRead: (turned) => {
      turned()
      return () => {}
    },
  }
  /** Runs what is due only when the time is over. With more than 100 ms the process stood still. */
  const stand = (ms: number) => {
    nowMs += ms
    for (const timer of [...timers]) if (timer.atMs <= nowMs && timers.delete(timer)) timer.due()
  }
  const pass = (ms: number) => {
    for (let left = ms; left > 0; left -= 10) stand(10)
  }
  const late: string[] = []
  return {
    deadlines: new Deadlines<string>(clock, 1_000, (key) => late.push(`${key} ${nowMs}`)),
    late,
    pass,
    stand,
    timers,
  }
}

describe('many deadlines', () => {
  it('each expire on time, with one timer', () => {
    const { deadlines, late, pass, timers } = waits()
    deadlines.add('a')
    pass(300)
    deadlines.add('b')
    pass(300)
    deadlines.add('c')
    expect(timers.size).toBe(1)
    deadlines.delete('a')
    pass(690)
    expect(late).toEqual([])
    pass(2_000)
    expect(late).toEqual(['b 1300', 'c 1600'])
    expect(timers.size).toBe(0)
  })

  it('keep no timer when nothing waits, and start again', () => {
    const { deadlines, late, pass, timers } = waits()
    deadlines.add('a')
    deadlines.delete('a')
    expect(timers.size).toBe(0)
    pass(5_000)
    deadlines.add('a')
    pass(2_000)
    expect(late).toEqual(['a 6000'])
  })

  it('add the time once in which the process stood still, including for one that was added a moment later', () => {
    const { deadlines, late, pass, stand } = waits()
    deadlines.add('a')
    pass(50)
    deadlines.add('b')
    pass(900)
    stand(600)
    pass(400)
    expect(late).toEqual([])
    pass(400)
    expect(late.map((each) => each.slice(0, 1))).toEqual(['a', 'b'])
  })

  it('add that time in full for one that was due just then', () => {
    const { deadlines, late, pass, stand } = waits()
    deadlines.add('a')
    pass(20)
    deadlines.add('b')
    pass(980)
    expect(late).toEqual(['a 1000'])
    stand(800)
    pass(700)
    expect(late).toEqual(['a 1000'])
    pass(200)
    expect(late).toHaveLength(2)
  })
})
