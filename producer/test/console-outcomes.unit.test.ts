// The console's own script: the outcome that it keeps of a command that is sent again.
import { beforeEach, describe, expect, it } from '@jest/globals'
import { z } from 'zod'

const kept = z.object({ state: z.string(), text: z.string() }).loose()
const scripts = z.object({
  send: z.function({ input: [z.object({}).loose()], output: z.promise(z.object({ key: z.string() })) }),
  commands: z.function({ input: [], output: z.array(kept) }),
})
const path = '/stock_adjustment'
const accepted = () => new Response('{}', { status: 202, headers: { 'Message-Id': 'm' } })
const problem = (status: number, kind: string) =>
  new Response(JSON.stringify({ type: `urn:ims:problem:${kind}`, detail: 'Not processed.' }), {
    status,
    headers: { 'Retry-After': '2' },
  })
const noResponse = () => {
  throw new TypeError('network')
}

/** The parts of a browser that the script uses. */
function storage() {
  const items = new Map<string, string>()
  return {
    getItem: (name: string) => items.get(name) ?? null,
    setItem: (name: string, value: string) => void items.set(name, value),
    removeItem: (name: string) => void items.delete(name),
  }
}

describe('a command that is sent again', () => {
  beforeEach(() => {
    Object.assign(globalThis, { localStorage: storage(), sessionStorage: storage() })
  })

  it.each([
    ['was accepted', accepted, 'pending'],
    ['got no response', noResponse, 'unknown'],
  ])('stays open if it %s first and the repeat is not processed', async (_, first, state) => {
    const { send, commands } = scripts.parse(await import(new URL('../src/console/page/api.js', import.meta.url).href))
    const answers = [first, () => problem(503, 'not-accepted'), () => problem(429, 'too-many-requests'), accepted]
    Object.assign(globalThis, { fetch: async () => answers.shift()?.() })
    const { key } = await send({ path, body: {} })
    for (let repeat = 0; repeat < 2; repeat += 1) {
      await send({ path, body: {}, key })
      expect(commands()).toMatchObject([{ state, text: expect.stringContaining('may still be applied') }])
    }
    await send({ path, body: {}, key })
    expect(commands()).toMatchObject([{ state: 'pending' }])
  })

  it.each([
    [403, 'forbidden', 'pending', true],
    [413, 'too-large', 'pending', true],
    [409, 'insufficient-stock', 'refused', false],
  ])('stays open, and can be sent again, only if the %i %s of the repeat is not its outcome', async (...each) => {
    const [status, kind, state, again] = each
    const { send, commands } = scripts.parse(await import(new URL('../src/console/page/api.js', import.meta.url).href))
    const refused = new Response(JSON.stringify({ type: `urn:ims:problem:${kind}`, detail: 'No.' }), { status })
    const answers = [accepted(), refused]
    Object.assign(globalThis, { fetch: async () => answers.shift() })
    const { key } = await send({ path, body: {} })
    await send({ path, body: {}, key })
    expect(commands()).toMatchObject([{ state, again }])
  })

  it('is refused if it was not accepted the first time either', async () => {
    const { send, commands } = scripts.parse(await import(new URL('../src/console/page/api.js', import.meta.url).href))
    Object.assign(globalThis, { fetch: async () => problem(503, 'not-accepted') })
    const { key } = await send({ path, body: {} })
    await send({ path, body: {}, key })
    expect(commands()).toMatchObject([{ state: 'refused', text: 'Not processed.' }])
  })
})
