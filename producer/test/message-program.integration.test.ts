// The program `message` as a process on a real broker: the timeline, the exit codes, and the errors.
import { join } from 'node:path'
import {
  consumerEnvironment,
  type Handler,
  messageQuestion,
  messageStatus,
  openBroker,
  type RecordedVerdict,
  rabbitmqEnvironment,
} from '@ims/messaging'
import { quietService } from '@ims/messaging/testing'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { runToEnd, serversEnvironment, serversUnderTest, type TestSpace } from 'testkit'

const PROGRAM = join(import.meta.dirname, '..', 'src', 'message.ts')
/** A UUIDv7 of 2026-01-02T03:04:05.678Z. */
const ID = '019b7ca9-8f2e-7000-8000-000000000000'

describe('the program message', () => {
  let space: TestSpace

  beforeAll(async () => {
    ;({ space } = await serversUnderTest('message_program'))
  })
  afterAll(async () => await space.drop())

  const run = async (args: readonly string[], more: Record<string, string> = {}) => {
    const env = { ...process.env, NODE_OPTIONS: '', ...serversEnvironment(space), ...more }
    return await runToEnd({ command: [process.execPath, PROGRAM, ...args], env })
  }
  const verdict = (redrives: number, outcome: string, error: string | null, at: string): RecordedVerdict => ({
    queue: 'create_item',
    redrives,
    outcome,
    error,
    at,
  })
  const refusal = (redrives: number, at: string) => verdict(redrives, 'duplicate-sku', 'taken\u001b[2J', at)

  it('prints a timeline, and exits with a code for the state of the message', async () => {
    const first = '2026-01-02T03:04:06.000Z'
    const second = '2026-01-02T09:00:00.000Z'
    const known: Record<string, readonly RecordedVerdict[]> = {
      [ID]: [refusal(0, first), verdict(1, 'created', null, second)],
      'refused-once': [refusal(0, first)],
      'refused-twice': [refusal(0, first), refusal(1, second)],
    }
    const broker = await openBroker(rabbitmqEnvironment.parse(serversEnvironment(space)), quietService)
    const answer: Handler<unknown, never> = async (deliveries) =>
      deliveries.map(({ body }) => ({
        kind: 'answered',
        body: Buffer.from(
          JSON.stringify({
            verdicts: known[messageQuestion.parse(body).id] ?? [],
            remembersSince: '2025-12-01T00:00:00.000Z',
          }),
        ),
        headers: {},
      }))
    await broker.consume(messageStatus, answer, consumerEnvironment.parse({}))
    try {
      expect(await run([ID])).toEqual({
        code: 0,
        err: '',
        out: [
          `${ID}: applied`,
          '  2026-01-02T03:04:05.678Z  sent (the time in the id)',
          '  2026-01-02T03:04:06.000Z  create_item refused: duplicate-sku: taken\\u001b[2J',
          '                            redriven from the dead letters',
          '  2026-01-02T09:00:00.000Z  create_item applied: created',
          '',
        ].join('\n'),
      })
      const once = await run(['refused-once'])
      expect(once).toMatchObject({ code: 2, err: '' })
      expect(once.out).toContain('- its sender received the refusal as a reply\n')
      const twice = await run(['refused-twice'])
      expect(twice.code).toBe(2)
      // A redriven message that is refused becomes a dead letter again.
      expect(twice.out).toContain('- it is a dead letter\n')
      expect(twice.out).not.toContain('its sender received')
      const unknown = await run(['never\u001b[2J'])
      expect(unknown.code).toBe(3)
      expect(unknown.out).toMatch(/^never\\u001b\[2J: unknown\n/)
      expect(unknown.out).toContain('- no message has this id\n')
    } finally {
      await broker.close()
    }
  })

  it('exits with 64 for wrong arguments, 78 for a wrong configuration, and 69 without a connection or a reply', async () => {
    for (const args of [[], ['a', 'b'], [''], ['x'.repeat(256)]])
      expect(await run(args)).toMatchObject({ code: 64, out: '', err: expect.stringContaining('one id is needed') })
    expect(await run(['--help'])).toMatchObject({ code: 0, out: expect.stringContaining('usage: npm run message') })
    expect(await run([ID], { RABBITMQ_PORT: '1' })).toMatchObject({
      code: 69,
      err: expect.stringMatching(/no connection to the broker: .*ECONNREFUSED/),
    })
    expect(await run([ID], { RABBITMQ_PORT: 'x' })).toMatchObject({ code: 78 })
    // The queue has no consumer any more, so the query expires.
    expect(await run([ID])).toMatchObject({
      code: 69,
      out: '',
      err: expect.stringContaining('Consumer four answers this query. Is it ready?'),
    })
  })
})
