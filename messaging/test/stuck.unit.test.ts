// The log lines about messages that cannot be dead-lettered. In an earlier version, a memory alarm caused 11,650 lines for 2,000 messages.
import { expect, it } from '@jest/globals'
import type { Message } from 'amqplib'
import { NotAccepted } from '../src/errors.ts'
import { Stuck } from '../src/incoming/stuck.ts'
import { clockOf } from '../src/scope.ts'
import { quietService } from '../src/testing.ts'

type Item = { message: { properties: Message['properties'] } }

const item = (messageId: string): Item => ({
  message: { properties: { messageId, headers: { 'x-request-id': 'r-1' } } as unknown as Message['properties'] },
})

function stuckMessages() {
  const lines: { level: string; fields: object; message: string }[] = []
  const at = { ms: 0, changes: 0 }
  const write = (level: string) => (fields: object, message: string) => void lines.push({ level, fields, message })
  const log = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
  const clock = { ...clockOf({}), nowMs: () => at.ms }
  const stuck = new Stuck<Item>('create_item', { ...quietService, log, clock }, () => {
    at.changes += 1
  })
  return { lines, at, stuck }
}
const items = Array.from({ length: 2_000 }, (_, index) => item(`id-${index}`))
const blocked = new NotAccepted('blocked', 'the broker blocks publishing: low on memory')

it('logs one line for a cause, then a count every 10 s, and one line when no message is stuck any more', () => {
  const { lines, at, stuck } = stuckMessages()
  for (at.ms = 0; at.ms <= 45_000; at.ms += 1_000) for (const item of items) stuck.failed(item, blocked)
  expect(stuck.notReady()).toBe(
    'cannot dead-letter a message of create_item: the broker blocks publishing: low on memory',
  )
  for (const item of items) stuck.left(item)
  const error = (messages: number) => ({
    level: 'error',
    message: expect.stringContaining('the broker blocks publishing: low on memory'),
    fields: { queue: 'create_item', reason: 'blocked', messages, messageId: 'id-0', requestId: 'r-1' },
  })
  const over = 'no message of create_item waits to be dead-lettered any more, after 46.0 s'
  expect(lines).toEqual([
    error(1),
    ...Array.from({ length: 4 }, () => error(2_000)),
    { level: 'info', message: over, fields: { queue: 'create_item', messages: 2_000, seconds: 46 } },
  ])
  expect(stuck.notReady()).toBeUndefined()
  expect(at.changes).toBe(2)
})

it('logs one line for each cause, and one at once when a message is stuck again', () => {
  const { lines, stuck } = stuckMessages()
  const [one = item('1'), other = item('2')] = items
  stuck.failed(one, blocked)
  stuck.failed(one, new NotAccepted('disconnected', 'not connected'))
  stuck.left(one)
  stuck.failed(other, blocked)
  expect(lines.map(({ level }) => level)).toEqual(['error', 'error', 'info', 'error'])
})
