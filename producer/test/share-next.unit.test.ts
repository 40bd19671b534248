// Coalesces identical requests: one request for all waiting callers, no reply older than the call, and a limited wait.
import { getEventListeners } from 'node:events'
import { describe, expect, it } from '@jest/globals'
import { shareNext } from '../src/listing/share-next.ts'

function asking() {
  const asked: { question: string; answer: (text: string) => void; fail: (error: Error) => void }[] = []
  const ask = shareNext(
    (question: string) =>
      new Promise<string>((answer, fail) => {
        asked.push({ question, answer, fail })
      }),
    (question) => question,
  )
  return { asked, ask }
}
const turn = () => new Promise((resolve) => setTimeout(resolve, 0))

describe('identical requests', () => {
  it('share the next request, not the one in flight', async () => {
    const { asked, ask } = asking()
    const first = ask('a')
    const others = [ask('a'), ask('a'), ask('a')]
    expect(asked).toHaveLength(1)
    asked[0]?.answer('before')
    expect(await first).toBe('before')
    await turn()
    expect(asked).toHaveLength(2)
    asked[1]?.answer('after')
    expect(await Promise.all(others)).toEqual(['after', 'after', 'after'])
  })

  it('remove their abort listeners when they have a reply or have failed', async () => {
    const { asked, ask } = asking()
    const { signal } = new AbortController()
    const answers = [ask('a', signal), ask('b', signal), ask('c', signal)]
    expect(getEventListeners(signal, 'abort')).toHaveLength(3)
    asked[0]?.answer('page')
    asked[1]?.answer('page')
    asked[2]?.fail(new Error('no page'))
    await Promise.allSettled(answers)
    expect(getEventListeners(signal, 'abort')).toEqual([])
  })

  it('do not wait long for a slow request in flight', async () => {
    const { asked, ask } = asking()
    void ask('a')
    const second = ask('a')
    await new Promise((resolve) => setTimeout(resolve, 30))
    expect(asked).toHaveLength(2)
    asked[1]?.answer('quick')
    expect(await second).toBe('quick')
  })

  it('fail together, and a later call sends a new request', async () => {
    const { asked, ask } = asking()
    const first = ask('a')
    const others = [ask('a'), ask('a')]
    asked[0]?.fail(new Error('first'))
    await expect(first).rejects.toThrow('first')
    await turn()
    asked[1]?.fail(new Error('shared'))
    for (const other of others) await expect(other).rejects.toThrow('shared')
    const later = ask('a')
    asked[2]?.answer('fine')
    expect(await later).toBe('fine')
  })

  it('are sent at once when none is in flight, independently of other requests', async () => {
    const { asked, ask } = asking()
    for (const question of ['a', 'b']) void ask(question)
    expect(asked.map(({ question }) => question)).toEqual(['a', 'b'])
    asked[0]?.answer('x')
    await turn()
    void ask('a')
    expect(asked).toHaveLength(3)
  })
})
