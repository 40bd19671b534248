// Consumer one on the in-memory broker: it logs health checks with any JSON body.
import { consumerEnvironment, healthcheck } from '@ims/messaging'
import { InMemoryRabbitmq } from '@ims/messaging/testing'
import { expect, it } from '@jest/globals'
import { logHealthchecks } from '../src/healthcheck.ts'

it('logs each health check with its id and its body, truncated to a maximum length, and replies if requested', async () => {
  const lines: Record<string, unknown>[] = []
  const log = { debug() {}, info: (fields: object) => void lines.push({ ...fields }), warn() {}, error() {} }
  const broker = new InMemoryRabbitmq().open({ publishes: [healthcheck] })
  const written: number[] = []
  const flush = () => void written.push(lines.length)
  await broker.consume(healthcheck, logHealthchecks(log, flush), consumerEnvironment.parse({}))
  const { messageId } = await broker.publisher.publish(healthcheck, ['message', 'Healthcheck'])
  const { reply } = await broker.requester.command(healthcheck, 'x'.repeat(5_000), { deadlineMs: 1_000 })
  expect(reply).toEqual({ kind: 'applied', result: { outcome: 'logged' } })
  // All lines are written before the messages are acknowledged.
  expect(written.at(-1)).toBe(2)
  expect(lines[0]).toEqual({ messageId, redelivered: false, body: ['message', 'Healthcheck'] })
  expect(String(lines[1]?.body)).toHaveLength(200)
  await broker.close()
})
