// The log lines about the batches that a handler has run.
import { describe, expect, it } from '@jest/globals'
import { createItem, healthcheck, orderProcessing } from '../src/contracts.ts'
import type { Delivery, Outcome } from '../src/handler.ts'
import { WorkLog } from '../src/incoming/work-log.ts'
import { clockOf } from '../src/scope.ts'
import { quietService } from '../src/testing.ts'

const delivery = (messageId: string, redrives = 0): Delivery => ({
  body: {},
  messageId,
  redelivered: false,
  redrives,
  fingerprint: messageId,
  headers: { 'x-request-id': `request-${messageId}` },
})
const applied: Outcome = { kind: 'applied', result: {}, repeated: false }
const outcomes: Outcome[] = [
  applied,
  { ...applied, repeated: true },
  { kind: 'refused', reason: 'duplicate-sku', error: 'there is one' },
]

/** A work log, the lines that it has logged, and the time, which the test controls. */
function workLog(contract: typeof createItem | typeof healthcheck | typeof orderProcessing) {
  const lines: unknown[][] = []
  const at = { ms: 1_000 }
  const write = (level: string) => (fields: object, message: string) => void lines.push([level, message, fields])
  const log = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
  const clock = { ...clockOf({}), nowMs: () => at.ms }
  return { lines, at, log, workLog: new WorkLog(contract, { ...quietService, log, clock }) }
}

describe('the log of a handler', () => {
  it('has one info line for each batch, with counts, outcomes and duration, and one debug line for each message', async () => {
    const { lines, at, workLog: watched } = workLog(createItem)
    const handler = watched.watch(async () => {
      at.ms += 12.34
      return outcomes
    })
    expect(await handler([delivery('a'), delivery('b', 1), delivery('c')])).toBe(outcomes)
    const fields = { queue: 'create_item', redelivered: false }
    expect(lines).toEqual([
      ['debug', 'message applied', { ...fields, messageId: 'a', requestId: 'request-a', redrives: 0 }],
      ['debug', 'message repeated', { ...fields, messageId: 'b', requestId: 'request-b', redrives: 1 }],
      ['debug', 'message refused', { ...fields, messageId: 'c', requestId: 'request-c', redrives: 0 }],
      [
        'info',
        'batch handled',
        {
          queue: 'create_item',
          messages: 3,
          applied: 1,
          repeated: 1,
          refused: 1,
          redriven: 1,
          durationMs: 12.3,
          messageIds: ['a', 'b', 'c'],
          requestIds: ['request-a', 'request-b', 'request-c'],
        },
      ],
    ])
  })

  it.each([healthcheck, orderProcessing])(
    'has only debug lines for messages that change nothing: $queue',
    async (contract) => {
      const { lines, workLog: watched } = workLog(contract)
      await watched.watch(async () => [applied])([delivery('a')])
      expect(lines.map(([level]) => level)).toEqual(['debug', 'debug'])
    },
  )

  it('has no lines about single messages when the debug level is off', async () => {
    const { lines, log, workLog: watched } = workLog(createItem)
    Object.assign(log, { isLevelEnabled: () => false })
    await watched.watch(async () => outcomes)([delivery('a'), delivery('b'), delivery('c')])
    expect(lines.map(([level]) => level)).toEqual(['info'])
  })

  it('has one info line with the duration of the failures when the handler succeeds again', async () => {
    const { lines, at, workLog: watched } = workLog(orderProcessing)
    let isDown = true
    const handler = watched.watch(async () => {
      if (isDown) throw new Error('the database is down')
      return [applied]
    })
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      await expect(handler([delivery('a')])).rejects.toThrow('the database is down')
      watched.holding()
      at.ms += 1_500
    }
    isDown = false
    await handler([delivery('a')])
    await handler([delivery('b')])
    const over = ['info', 'messages of order_processing are no longer held, after 4.5 s', expect.anything()]
    expect(lines.filter(([level]) => level === 'info')).toEqual([over])
  })
})
