// A message is refused for an unexpected error only if it fails alone while others succeed; otherwise all are held.
import { describe, expect, it } from '@jest/globals'
import type { Delivery, Outcome } from '../src/handler.ts'
import { outcomesOf } from '../src/incoming/attempts.ts'
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
  { joins = '', holdMostMs = 60_000, givenUp = new AbortController() } = {},
) {
  const calls: string[] = []
  const troubles: (string | undefined)[] = []
  const waiting = deliveries(joins)
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
    config: { retryMostMs: 1, holdMostMs },
    service: countingService(),
    trouble: (sentence: string | undefined) => void troubles.push(sentence),
    more: () => waiting.splice(0),
  }
  const outcomes = outcomesOf(deliveries(batch), parts, givenUp.signal)
  return { outcomes, calls, troubles, givenUp }
}
const kinds = (outcomes: readonly (Outcome | undefined)[]) => outcomes.map((outcome) => outcome?.kind)

describe('a batch that fails', () => {
  it('refuses the message that fails alone three times while its neighbours succeed', async () => {
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
    expect(calls).toEqual(['axb', 'a', 'x', 'b', 'x', 'x'])
  })

  it('does not refuse the message that succeeds at a later attempt', async () => {
    const { outcomes } = run('xb', (id, call) => (id === 'x' && call < 4 ? new Error('a bug') : undefined))
    expect(kinds(await outcomes)).toEqual(['applied', 'applied'])
  })

  it('holds all messages while all fail, however often, and says why', async () => {
    const { outcomes, calls, troubles } = run('abc', (_, call) => (call < 41 ? new Error('news') : undefined))
    expect(kinds(await outcomes)).toEqual(['applied', 'applied', 'applied'])
    expect(calls.at(-1)).toBe('abc')
    expect(troubles.slice(0, 2)).toEqual(Array(2).fill('holding 3 messages of q: news'))
    expect(troubles.at(-1)).toBeUndefined()
  })

  it('holds a message that is alone until one that arrives later succeeds, then refuses it', async () => {
    const { outcomes, calls } = run('x', (id) => (id === 'x' ? new Error('a bug') : undefined), { joins: 'ab' })
    expect(kinds(await outcomes)).toEqual(['refused', 'applied', 'applied'])
    expect(calls).toEqual(['x', 'xab', 'x', 'a', 'b', 'x'])
  })

  it('holds a message that is alone, and applies it when the fault is over', async () => {
    const { outcomes } = run('x', (_, call) => (call < 20 ? new Error('news') : undefined))
    expect(kinds(await outcomes)).toEqual(['applied'])
  })

  it('does not run messages one by one when a dependency fails', async () => {
    const { outcomes, calls } = run('ab', (_, call) => (call < 4 ? transient('away') : undefined))
    expect(kinds(await outcomes)).toEqual(['applied', 'applied'])
    expect(calls).toEqual(['ab', 'ab', 'ab', 'ab'])
  })

  it('refuses nothing when the dependency goes down while messages run one by one', async () => {
    // The batch fails with an unknown error, its first message succeeds, then the database is down for a while.
    const { outcomes } = run('abc', (_, call) => {
      if (call === 1) return new Error('news')
      return call > 2 && call < 10 ? transient('away') : undefined
    })
    expect(kinds(await outcomes)).toEqual(['applied', 'applied', 'applied'])
  })

  it('marks a message as redelivered after a failed attempt, which may have had its effect', async () => {
    const seen: boolean[] = []
    const parts = {
      queue: 'q',
      handler: async (taken: readonly Delivery[]) => {
        seen.push(...taken.map(({ redelivered }) => redelivered))
        if (seen.length === 1) throw transient('away')
        return taken.map(() => applied)
      },
      config: { retryMostMs: 1, holdMostMs: 1_000 },
      service: countingService(),
      trouble: () => {},
      more: () => [],
    }
    await outcomesOf(deliveries('a'), parts, new AbortController().signal)
    expect(seen).toEqual([false, true])
  })

  it('gives up, and reports no more trouble, when it is aborted or has held for too long', async () => {
    const away = () => transient('away')
    const late = run('a', away, { holdMostMs: 20 })
    expect(await late.outcomes).toEqual([undefined])
    expect(late.troubles.at(-1)).toBeUndefined()
    const stopped = run('a', away)
    stopped.givenUp.abort()
    expect(await stopped.outcomes).toEqual([undefined])
    expect(stopped.troubles.at(-1)).toBeUndefined()
  })
})

describe('a batch that fails: known faults', () => {
  // The look one by one ends at the first message that is held, so those behind it are never tried, however long.
  it('applies a good message although another one is held', async () => {
    const judge = (id: string) => ({ x: new Error('a bug'), t: transient('row is locked') })[id]
    const { outcomes, calls } = run('xta', judge, { holdMostMs: 200 })
    await outcomes
    expect(calls).toContain('a')
  })

  // A state of the server with a number that we do not know, which begins while messages are tried one by one: the success
  // came before it, and says nothing about the two that fail alike after it.
  it('applies the neighbours of a message whose row another transaction holds, and gives only that one back', async () => {
    const locked = () => Object.assign(transient('row is locked'), { contended: true })
    const { outcomes } = run('atb', (id) => (id === 't' ? locked() : undefined), { holdMostMs: 50 })
    expect(kinds(await outcomes)).toEqual(['applied', undefined, 'applied'])
  })

  it('refuses nothing when the last success was before the failures', async () => {
    const judge = (_: string, call: number) =>
      call === 1 || (call > 2 && call < 40) ? new Error('new state of the server') : undefined
    const { outcomes } = run('abc', judge)
    expect(kinds(await outcomes)).toEqual(['applied', 'applied', 'applied'])
  })
})
