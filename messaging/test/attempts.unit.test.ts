// A message that causes an unexpected error is refused only if it fails when run by itself, while others succeed. Otherwise all
// messages are held: the consumer does not settle them, and tries again.
import { describe, expect, it } from '@jest/globals'
import type { Delivery, Outcome } from '../src/handler.ts'
import { attemptAll, type Reported } from '../src/incoming/attempts.ts'
import { clockOf } from '../src/scope.ts'
import { quietService } from '../src/testing.ts'
import { countingService } from './counting-service.ts'

const delivery = (messageId: string): Delivery => ({
  body: {},
  messageId,
  redelivered: false,
  redrives: 0,
  fingerprint: messageId,
  headers: {},
})
const deliveries = (ids: string) => [...ids].map(delivery)
const applied: Outcome = { kind: 'applied', result: {}, repeated: false }
const transient = (message: string) => Object.assign(new Error(message), { transient: true })
const ids = (batch: readonly Delivery[]) => batch.map(({ messageId }) => messageId).join('')

function run(
  batch: string,
  judge: (id: string, call: number) => Error | undefined,
  {
    joins = '',
    holdMaxMs = 60_000,
    batchMax = 10,
    givenUp = new AbortController(),
    clock = clockOf(quietService),
  } = {},
) {
  const calls: string[] = []
  const warned: string[] = []
  const warn = (_: object, message: string) => void warned.push(message)
  const troubles: (string | undefined)[] = []
  const waiting = deliveries(joins)
  const all = deliveries(batch)
  const outcomes = new Map<string | undefined, Outcome>()
  /** The number of handler calls before each outcome was reported. */
  const reportedAfter: Record<string, number> = {}
  const handler = async (taken: readonly Delivery[]) => {
    calls.push(ids(taken))
    for (const { messageId = '' } of taken) {
      const error = judge(messageId, calls.length)
      if (error) throw error
    }
    return taken.map(() => applied)
  }
  const parts = {
    queue: 'q',
    handler,
    config: { batchMax, retryMaxMs: 1, holdMaxMs },
    service: { ...countingService(), log: { ...quietService.log, warn }, clock },
    trouble: (sentence: string | undefined) => void troubles.push(sentence),
    reported: (reported: readonly Reported<{ read: Delivery }, unknown>[]) => {
      for (const { item, outcome } of reported) {
        expect(outcomes.has(item.read.messageId)).toBe(false)
        outcomes.set(item.read.messageId, outcome)
        reportedAfter[item.read.messageId ?? ''] = calls.length
      }
    },
    more: () => {
      const read = waiting.shift()
      if (read) all.push(read)
      return read && { read }
    },
  }
  const unreported = attemptAll(
    all.map((read) => ({ read })),
    parts,
    givenUp.signal,
  )
  return {
    unreported,
    outcomes: unreported.then(() => all.map(({ messageId }) => outcomes.get(messageId))),
    calls,
    warned,
    troubles,
    reportedAfter,
    givenUp,
  }
}
const kinds = (outcomes: readonly (Outcome | undefined)[]) => outcomes.map((outcome) => outcome?.kind)

describe('attemptAll', () => {
  it('refuses the message that fails three times when run by itself, while others succeed', async () => {
    const { outcomes, calls } = run('axb', (id) => (id === 'x' ? new Error('a bug') : undefined))
    expect(await outcomes).toEqual([
      applied,
      {
        kind: 'refused',
        reason: 'handler-failed',
        error: 'failed 3 times while other messages succeeded, last with: a bug',
        attempts: 3,
      },
      applied,
    ])
    expect(calls).toEqual(['axb', 'ax', 'a', 'x', 'b', 'x', 'x'])
  })

  it('logs only two warnings when 8 messages fail repeatedly with the same error', async () => {
    const { outcomes, calls, warned } = run('acdefghijb', (id) => ('ab'.includes(id) ? undefined : new Error('a bug')))
    expect(kinds(await outcomes).filter((kind) => kind === 'refused')).toHaveLength(8)
    expect(calls.length).toBeGreaterThan(20)
    expect(warned).toEqual([
      'could not apply messages, looking for the cause: a bug',
      'could not apply messages, one failed alone while others succeeded: a bug',
    ])
  })

  it('applies a message that succeeds at a later attempt', async () => {
    const { outcomes } = run('xb', (id, call) => (id === 'x' && call < 4 ? new Error('a bug') : undefined))
    expect(kinds(await outcomes)).toEqual(['applied', 'applied'])
  })

  it('holds all messages while all fail, and reports the reason', async () => {
    const { outcomes, calls, troubles } = run('abc', (_, call) => (call < 41 ? new Error('new error') : undefined))
    expect(kinds(await outcomes)).toEqual(['applied', 'applied', 'applied'])
    expect(calls.at(-1)).toBe('abc')
    expect(troubles.slice(0, 2)).toEqual(Array(2).fill('holding 3 messages of q: new error'))
    expect(troubles.at(-1)).toBeUndefined()
  })

  it('holds a single message that fails, and refuses it once a later one succeeds', async () => {
    const { outcomes, calls } = run('x', (id) => (id === 'x' ? new Error('a bug') : undefined), { joins: 'ab' })
    expect(kinds(await outcomes)).toEqual(['refused', 'applied'])
    expect(calls).toEqual(['x', 'a', 'x', 'x'])
  })

  it('holds a single message that fails, and applies it when the fault ends', async () => {
    const { outcomes } = run('x', (_, call) => (call < 20 ? new Error('new error') : undefined))
    expect(kinds(await outcomes)).toEqual(['applied'])
  })

  it('does not run messages one by one when a dependency fails', async () => {
    const { outcomes, calls } = run('ab', (_, call) => (call < 4 ? transient('database down') : undefined))
    expect(kinds(await outcomes)).toEqual(['applied', 'applied'])
    expect(calls).toEqual(['ab', 'ab', 'ab', 'ab'])
  })

  it('refuses nothing when the dependency goes down while messages run one by one', async () => {
    // The batch fails with an unknown error, its first message succeeds when run by itself, and then the database is down for a while.
    const { outcomes } = run('abc', (_, call) => {
      if (call === 1) return new Error('new error')
      return call > 2 && call < 10 ? transient('database down') : undefined
    })
    expect(kinds(await outcomes)).toEqual(['applied', 'applied', 'applied'])
  })

  // The failed attempt may have had its effect.
  it('marks a message as redelivered after a failed attempt', async () => {
    const seen: boolean[] = []
    const parts = {
      queue: 'q',
      handler: async (taken: readonly Delivery[]) => {
        seen.push(...taken.map(({ redelivered }) => redelivered))
        if (seen.length === 1) throw transient('database down')
        return taken.map(() => applied)
      },
      config: { batchMax: 10, retryMaxMs: 1, holdMaxMs: 1_000 },
      service: countingService(),
      trouble: () => {},
      reported: () => {},
      more: () => undefined,
    }
    const [read = delivery('a')] = deliveries('a')
    await attemptAll([{ read }], parts, new AbortController().signal)
    expect(seen).toEqual([false, true])
  })

  it('gives up with the last error when the hold time is over, and gives up when it is aborted', async () => {
    const failing = () => transient('database down')
    const late = run('a', failing, { holdMaxMs: 20 })
    expect(await late.outcomes).toEqual([undefined])
    expect(await late.unreported).toMatchObject({ error: { message: 'database down' } })
    const stopped = run('a', failing)
    stopped.givenUp.abort()
    expect(await stopped.outcomes).toEqual([undefined])
  })

  it('reports each outcome as soon as it is known', async () => {
    const locked = Object.assign(transient('row is locked'), { contended: true })
    const judge = (id: string, call: number) => (id === 'x' && call < 40 ? locked : undefined)
    const { outcomes, reportedAfter } = run('abxc', judge)
    expect(kinds(await outcomes)).toEqual(['applied', 'applied', 'applied', 'applied'])
    expect(reportedAfter).toEqual({ a: 2, b: 3, c: 5, x: 40 })
  })

  const bug = (id: string) => (id === 'x' || id === 'y' ? new Error('a bug') : undefined)

  it('finds one bad message among 1,000 with fewer than 30 calls of the handler', async () => {
    const good = Array.from({ length: 999 }, (_, n) => String.fromCodePoint(0x4e00 + n))
    const { outcomes, calls } = run([...good.slice(300), 'x', ...good.slice(0, 300)].join(''), bug, {
      batchMax: 1_000,
    })
    expect(kinds(await outcomes).filter((kind) => kind === 'refused')).toEqual(['refused'])
    expect(calls.length).toBeLessThan(30)
  })

  it('never passes more than `batchMax` messages to the handler, even when it takes further messages', async () => {
    const failing = (_: string, call: number) => (call < 30 ? new Error('new error') : undefined)
    const { outcomes, calls } = run('xy', failing, { batchMax: 2, joins: 'pq' })
    expect(kinds(await outcomes)).toEqual(Array(4).fill('applied'))
    expect(Math.max(...calls.map(({ length }) => length))).toBe(2)
  })

  it('takes further messages until one succeeds', async () => {
    const { outcomes } = run('xy', (id) => (id === 'a' ? undefined : new Error('a bug')), {
      batchMax: 2,
      joins: 'pqrab',
    })
    expect(kinds(await outcomes)).toEqual(['refused', 'refused', 'refused', 'refused', 'refused', 'applied'])
  })

  it('refuses messages that fail when run one by one while another one succeeds, even after the hold time', async () => {
    let skippedMs = 0
    const clock = { ...clockOf(quietService), nowMs: () => performance.now() + skippedMs }
    const judge = (id: string) => {
      if (id === 'a') skippedMs = 1e9
      return bug(id)
    }
    const { outcomes } = run('xya', judge, { clock })
    expect(kinds(await outcomes)).toEqual(['refused', 'refused', 'applied'])
  })

  it('does not refuse a bad message when the dependency goes down before its third attempt', async () => {
    const judge = (id: string, call: number) => (call > 3 ? transient('database down') : bug(id))
    const { outcomes } = run('xa', judge, { holdMaxMs: 50 })
    expect(kinds(await outcomes)).toEqual([undefined, 'applied'])
  })
})

describe('attemptAll: fixed bugs', () => {
  // The search for the bad message stopped at the first held message, and never tried the messages behind it.
  it('tries a good message behind a held one', async () => {
    const judge = (id: string) => ({ x: new Error('a bug'), t: transient('row is locked') })[id]
    const { outcomes, calls } = run('xta', judge, { holdMaxMs: 200 })
    await outcomes
    expect(calls).toContain('a')
  })

  it('applies the other messages of a batch when another transaction locks the row of one', async () => {
    const locked = () => Object.assign(transient('row is locked'), { contended: true })
    const { outcomes } = run('atb', (id) => (id === 't' ? locked() : undefined), { holdMaxMs: 50 })
    expect(kinds(await outcomes)).toEqual(['applied', undefined, 'applied'])
  })

  // Each lock wait takes 3 s. A few of them at the head of the queue used up the hold time, so no other message was tried until
  // the locks were released.
  it('applies messages behind messages whose rows are locked, within a batch and after it', async () => {
    let waitedMs = 0
    const clock = { ...clockOf(quietService), nowMs: () => performance.now() + waitedMs }
    const judge = (id: string) => {
      if (!'tuv'.includes(id)) return undefined
      waitedMs += 3_000
      return Object.assign(transient('row is locked'), { contended: true })
    }
    const batch = run('tuva', judge, { clock, holdMaxMs: 10_000 })
    expect(kinds(await batch.outcomes)).toEqual([undefined, undefined, undefined, 'applied'])
    expect(batch.troubles[0]).toBe('holding 4 messages of q: row is locked')
    const alone = run('t', judge, { clock, holdMaxMs: 10_000, joins: 'uab' })
    expect(kinds(await alone.outcomes)).toEqual([undefined, undefined, 'applied', 'applied'])
  })

  it('tries messages of other rows for up to a minute, and stops when it is aborted', async () => {
    let waitedMs = 0
    const clock = { ...clockOf(quietService), nowMs: () => performance.now() + waitedMs }
    const givenUp = new AbortController()
    const judge = (id: string) => {
      waitedMs += 3_000
      if (id === 'Z') givenUp.abort()
      return Object.assign(transient('row is locked'), { contended: true })
    }
    const all = run('a', judge, { clock, holdMaxMs: 10_000, joins: 'b'.repeat(100) })
    expect(kinds(await all.outcomes)).toEqual(Array(20).fill(undefined))
    const stopped = run('abZc', judge, { clock, holdMaxMs: 10_000, givenUp })
    await stopped.outcomes
    expect(stopped.calls).not.toContain('c')
  })

  // The database starts to fail with an unknown error while messages run one by one. A success before that proves nothing about
  // the messages that fail after it.
  it('refuses nothing when the last success was before the failures', async () => {
    const judge = (_: string, call: number) =>
      call === 1 || (call > 2 && call < 40) ? new Error('new error') : undefined
    const { outcomes } = run('abc', judge)
    expect(kinds(await outcomes)).toEqual(['applied', 'applied', 'applied'])
  })
})
