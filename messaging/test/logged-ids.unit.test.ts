// The ids in log lines come from headers that any sender may have written.
import { describe, expect, it } from '@jest/globals'
import { idsOf, idsOfAll } from '../src/logged-ids.ts'
import { originHeaders, originOf, requestIdOf } from '../src/origin.ts'

describe('the id of a request', () => {
  it.each(['r-1', 'a'.repeat(128), '018f0000-0000-7000-8000-000000000000'])('is read from the header: %s', (id) => {
    expect(requestIdOf(originHeaders({ requestId: id }))).toBe(id)
  })

  it.each([
    ['missing', undefined],
    ['empty', ''],
    ['longer than 128 characters', 'a'.repeat(129)],
    ['10,000 characters long', 'a'.repeat(10_000)],
    ['text with a control character', 'a\u001b[2J'],
    ['text with a line break at its end', 'a\n'],
    ['text with a space', 'a b'],
    ['a number', 42],
    ['bytes', Buffer.from('r-1')],
    ['a list', ['r-1']],
    ['a table', { toString: () => 'r-1' }],
    ['null', null],
  ])('is unknown when the header is %s', (_, value) => {
    expect(requestIdOf({ 'x-request-id': value })).toBeUndefined()
    expect(originOf({ 'x-requested-by': value, 'x-request-id': value }).requestId).toBeUndefined()
  })

  it('is unknown for a message without headers', () => {
    expect(idsOf({ messageId: 'm', headers: undefined })).toEqual({ messageId: 'm' })
  })
})

it('returns the ids of the first 20 messages, in the same order, for a log line about several messages', () => {
  const messages = Array.from({ length: 30 }, (_, n) => ({
    messageId: n === 1 ? undefined : `m-${n}`,
    headers: n === 2 ? {} : originHeaders({ requestId: `r-${n}` }),
  }))
  const { messageIds, requestIds } = idsOfAll(messages)
  expect([messageIds.length, requestIds.length]).toEqual([20, 20])
  expect(messageIds.slice(0, 4)).toEqual(['m-0', null, 'm-2', 'm-3'])
  expect(requestIds.slice(0, 4)).toEqual(['r-0', 'r-1', null, 'r-3'])
})
