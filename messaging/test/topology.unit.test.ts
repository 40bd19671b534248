// What the operator is told when the broker refuses a queue to this user.
import { expect, it } from '@jest/globals'
import { ensureQueue } from '../src/connection/topology.ts'
import { Misconfigured } from '../src/errors.ts'

it.each([
  ['declare', 'may not declare queue q: .* set RABBITMQ_TOPOLOGY=check'],
  ['check', 'may not use queue q: .* restart the broker if its definitions have changed'],
] as const)(
  'with RABBITMQ_TOPOLOGY=%s, a refused queue is a wrong configuration, and the error says what to do',
  async (mode, advice) => {
    const refused = () => Promise.reject(Object.assign(new Error('ACCESS_REFUSED'), { code: 403 }))
    const error: unknown = await ensureQueue({ assertQueue: refused, checkQueue: refused }, 'q', mode).catch(
      (why) => why,
    )
    expect(error).toBeInstanceOf(Misconfigured)
    expect(String(error)).toMatch(new RegExp(advice))
  },
)
