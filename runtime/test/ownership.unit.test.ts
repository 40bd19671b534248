// Resources are checked for readiness, and all of them are closed in reverse order, even if one throws.
import { describe, expect, it } from '@jest/globals'
import { Ownership } from '../src/ownership.ts'

const collected = () => {
  const lines: string[] = []
  const write = (_: object, message: string) => void lines.push(message)
  return { lines, log: { debug: write, info: write, warn: write, error: write } }
}

describe('the resources of a service', () => {
  it('are returned unchanged, and closed one after the other in reverse order', async () => {
    const { lines, log } = collected()
    const owned = new Ownership(log)
    const thing = (name: string, ms: number) => ({
      close: async () => {
        lines.push(`${name} begins`)
        await new Promise((resolve) => setTimeout(resolve, ms))
        lines.push(`${name} ends`)
      },
    })
    const first = thing('first', 0)
    expect(owned.own(first)).toBe(first)
    owned.own(thing('second', 20))
    await owned.close()
    expect(lines).toEqual(['second begins', 'second ends', 'first begins', 'first ends'])
  })

  it('are all closed, even when one throws or rejects', async () => {
    const { lines, log } = collected()
    const owned = new Ownership(log)
    const throwing = (): Promise<void> => {
      throw new Error('no')
    }
    owned.own({ close: async () => void lines.push('closed') })
    owned.own({ close: () => Promise.reject(new Error('no')) }, 'the rejecting one')
    owned.own({ close: throwing }, 'the throwing one')
    await owned.close()
    expect(lines).toEqual([
      'the throwing one could not close cleanly',
      'the rejecting one could not close cleanly',
      'closed',
    ])
  })

  it('are closed even if they are registered while the others close', async () => {
    const { lines, log } = collected()
    const owned = new Ownership(log)
    const late = { close: async () => void lines.push('late') }
    owned.own({ close: async () => void owned.own(late) })
    await owned.close()
    expect(lines).toEqual(['late'])
    expect(owned.open).toEqual([])
  })

  it('are listed by their label, or else their class, while they are open', () => {
    class Pool {
      close = async () => {}
    }
    const owned = new Ownership(collected().log)
    owned.own(new Pool())
    owned.own({ close: () => new Promise<void>(() => {}) }, 'the stuck one')
    void owned.close()
    expect(owned.open).toEqual(['the stuck one', 'Pool'])
  })

  it('report every reason why they are not ready, including errors and timeouts', async () => {
    const owned = new Ownership(collected().log)
    const close = async () => {}
    owned.own({ close }, 'silent')
    owned.own({ close, notReady: () => undefined }, 'fine')
    owned.own({ close, notReady: () => 'the broker is away' }, 'broker')
    owned.own({ close, notReady: async () => 'MySQL is away' }, 'database')
    owned.own({ close, notReady: () => Promise.reject(new Error('broken')) }, 'failing')
    owned.own({ close, notReady: () => new Promise<undefined>(() => {}) }, 'hanging')
    expect(await owned.reasons()).toEqual([
      'the broker is away',
      'MySQL is away',
      'failing: broken',
      'hanging did not report within 1800 ms whether it is ready',
    ])
  })
})
