// Runs the check of the fault ledger on histories written by hand. It must accept some of them, and report the others.
import { describe, expect, it } from '@jest/globals'
import { type Attempt, History } from '../../faults/history.ts'
import { type Found, judge, keyOf } from '../../faults/ledger.ts'

const nothing: Found = {
  inserts: new Map(),
  deletes: new Map(),
  inbox: new Map(),
  decisions: new Map(),
  logged: new Map(),
  deadLetters: [],
  table: new Map(),
  items: [],
  movements: new Map(),
  left: [],
  unhealthy: [],
}

const attempt = (history: History, more: Partial<Attempt> = {}): Attempt =>
  Object.assign(
    history.begin({ id: 'item-1', kind: 'create', queue: 'create_item', sku: 'S-1', messageId: 'm-1' }),
    { answer: 'accepted' } as const,
    more,
  )
const aDelete = { id: 'd-1', kind: 'delete', queue: 'stock_management' } as const
const recorded = (queue: string, applied: number[], refused: number[] = []) => ({
  inbox: new Map([[keyOf(queue, 'm-1'), { applied, refused }]]),
})
const deleted = recorded('stock_management', [0])
const stored = { inserts: new Map([['item-1', 1]]), table: new Map([['S-1', 'item-1']]) }
const letter = (more: Partial<Found['deadLetters'][number]> = {}) => ({
  queue: 'create_item',
  messageId: 'm-1',
  body: '{"sku":"S-1","name":"item-1"}',
  reason: 'duplicate-sku',
  error: 'there is an item with sku S-1 already',
  ...more,
})

/** An adjustment that sells 3 of an item with a quantity of 7. Its message is m-1. */
const anAdjust = { id: 'a-1', kind: 'adjust', queue: 'stock_adjustment', change: -3 } as const
const movement = { id: 1, itemId: 1, messageId: 'm-1', sku: 'S-1', change: -3, before: 7, after: 4 }
const sold = (more: Partial<typeof movement> = {}, quantity = 4) => ({
  items: [{ id: 1, sku: 'S-1', created: 7, quantity }],
  movements: new Map([['a-1', [{ ...movement, ...more }]]]),
})
const adjustLetter = (reason: string) =>
  letter({ queue: 'stock_adjustment', reason, body: '{"sku":"S-1","change":-3,"reason":"a-1"}' })

interface Reported {
  readonly disturbed?: boolean
}
const verdict = (
  more: Partial<Attempt>,
  found: Partial<Found>,
  expected: [string, string | undefined][] = [],
  { disturbed = false }: Reported = {},
) => {
  const history = new History()
  if (disturbed) history.disturbances.push({ fromMs: 0, untilMs: 60_000 })
  // Adds another create with the same sku, so that the reason duplicate-sku is possible.
  attempt(history, { id: 'item-2', messageId: 'm-2', answer: 'not accepted' })
  attempt(history, more)
  for (const [sku, name] of expected) history.expected.set(sku, name)
  return judge(history, { ...nothing, ...found }).violations.map(({ what, text }) => `${what}: ${text}`)
}

describe('the check accepts', () => {
  it('a message that was accepted and applied once', () => {
    expect(verdict({ reported: 'created' }, stored, [['S-1', 'item-1']])).toEqual([])
  })
  it('an accepted message that is dead-lettered, even twice', () => {
    const twice = { deadLetters: [letter(), letter()] }
    expect(verdict({}, twice, [], { disturbed: true })).toEqual([])
    expect(verdict({ sentWithoutWaiting: 2 }, twice)).toEqual([])
  })
  it('a refusal that was reported to the sender, without a dead letter', () => {
    expect(verdict({ reported: 'refused', sentWaiting: 1 }, {})).toEqual([])
  })
  it('a dead letter of a message whose refusal was reported, if a client also sent it without waiting, or during a fault', () => {
    const found = { deadLetters: [letter()] }
    expect(verdict({ reported: 'refused', sentWaiting: 1, sentWithoutWaiting: 1 }, found)).toEqual([])
    expect(verdict({ reported: 'refused', sentWaiting: 1 }, found, [], { disturbed: true })).toEqual([])
  })
  it('a message whose refusal was reported, and that was then redriven and applied', () => {
    const found = { ...stored, ...recorded('create_item', [1], [0]) }
    expect(verdict({ reported: 'refused' }, found, [['S-1', undefined]])).toEqual([])
  })
  it.each(['applied', 'lost'])('a message with an unknown outcome, if it was %s', (what) => {
    expect(verdict({ answer: 'unknown', messageId: undefined }, what === 'applied' ? stored : {})).toEqual([])
  })
  it('a health check that was logged twice', () => {
    const found = { logged: new Map([['m-1', 2]]) }
    expect(verdict({ id: 'h-1', kind: 'healthcheck', queue: 'healthcheck', sku: undefined }, found)).toEqual([])
  })
  it('a delete of a missing item, if it is recorded', () => {
    expect(verdict(aDelete, deleted)).toEqual([])
  })
  it('a change of stock whose reported quantity is correct', () => {
    const found = { ...sold(), ...recorded('stock_adjustment', [0]) }
    expect(verdict({ ...anAdjust, reported: 'adjusted', quantity: 4 }, found)).toEqual([])
    expect(verdict({ ...anAdjust, answer: 'unknown', messageId: undefined }, found)).toEqual([])
  })
  it('a change of stock that is a dead letter because the stock was too low, or the item did not exist', () => {
    const items = [{ id: 1, sku: 'S-1', created: 2, quantity: 2 }]
    expect(verdict(anAdjust, { items, deadLetters: [adjustLetter('insufficient-stock')] })).toEqual([])
    expect(verdict(anAdjust, { deadLetters: [adjustLetter('unknown-sku')] })).toEqual([])
  })
})

describe('the check reports', () => {
  it('an accepted message that was neither applied nor dead-lettered', () => {
    expect(verdict({}, {})).toEqual(['lost: accepted, but neither applied nor dead-lettered'])
  })
  it('a health check that was accepted and never logged', () => {
    const check = { id: 'h-1', kind: 'healthcheck', queue: 'healthcheck', sku: undefined } as const
    expect(verdict(check, {})).toEqual([expect.stringMatching(/^lost/)])
  })
  it('a message that took effect twice', () => {
    expect(verdict({}, { ...stored, inserts: new Map([['item-1', 2]]) })).toEqual([
      'applied twice: took effect 2 times',
      expect.stringMatching(/^table: S-1: 2 more inserts/),
    ])
  })
  it('more deletions of a sku than messages', () => {
    const found = { ...deleted, deletes: new Map([['S-1', 2]]) }
    expect(verdict(aDelete, found)).toContain('applied twice: 2 items deleted with sku S-1 by 1 messages')
  })
  it('an item or a dead letter that was never sent', () => {
    expect(verdict({}, { ...stored, inserts: new Map([...stored.inserts, ['x', 1]]) })).toContainEqual(
      'never sent: an item named x was stored, but never sent',
    )
    const strange = letter({ body: '{"name":"y"}', messageId: 'm-9' })
    expect(verdict({}, { ...stored, deadLetters: [strange] })).toEqual([
      expect.stringMatching(/^never sent: a dead letter/),
    ])
  })
  it.each([
    ['an applied message as not stored', { answer: 'not accepted' }, stored, /it was applied/],
    ['a dead letter as not stored', { answer: 'not accepted' }, { deadLetters: [letter()] }, /it was dead-lettered/],
    ['a dead letter as created', { reported: 'created' }, { deadLetters: [letter()] }, /as created/],
    ['an applied message as refused', { reported: 'refused' }, stored, /as refused/],
    ['a delete without an effect as deleted', { ...aDelete, reported: 'deleted' }, deleted, /as deleted/],
  ] as const)('a response that reports %s', (_, more, found, text) => {
    expect(verdict(more, found)).toEqual([expect.stringMatching(text)])
  })
  it.each([
    ['an item', stored],
    ['a movement', sold()],
  ])('%s that a bad message caused', (_, found) => {
    const id = 'movements' in found ? 'a-1' : 'item-1'
    const text = 'contradiction: a bad message took effect'
    expect(verdict({ id, kind: 'bad message' }, { ...found, deadLetters: [letter()] })).toContain(text)
  })
  it('a message that is both applied and dead-lettered', () => {
    expect(verdict({}, { ...stored, deadLetters: [letter()] })).toEqual([
      'both applied and refused: applied, and also dead-lettered',
    ])
  })
  it.each([
    ['in the same delivery', [0], [0]],
    ['after a redrive', [0], [1]],
  ])('a message that is applied and also recorded as refused %s', (_, applied, refused) => {
    expect(verdict({}, { ...stored, ...recorded('create_item', applied, refused) })).toEqual([
      'both applied and refused: applied, and recorded as refused',
    ])
  })
  it.each([
    [
      'that differs from the sum of the movements',
      {},
      1,
      /^stock: S-1 was created with 7 and has 1; .*: -3 \(7 to 4\)$/,
    ],
    ['with a gap before a movement', { before: 6, after: 3 }, 4, /^stock: S-1 .*: -3 \(6 to 3\)$/],
  ])('a stock %s', (_, more, quantity, text) => {
    expect(verdict(anAdjust, sold(more, quantity))).toEqual([expect.stringMatching(text)])
  })
  it('a movement of an item that was never stored', () => {
    expect(verdict(anAdjust, { ...sold(), items: [] })).toEqual([expect.stringMatching(/^stock: .* never stored$/)])
  })
  it.each([
    ['with another message id', { messageId: 'm-9' }, 4],
    ['of another sku', { sku: 'S-2' }, 4],
    ['by another amount', { change: -2, after: 5 }, 5],
  ])('a movement %s', (_, more, quantity) => {
    expect(verdict(anAdjust, sold(more, quantity))).toEqual([expect.stringMatching(/^never sent: a movement/)])
  })
  it('two movements of one message', () => {
    const again = { ...movement, id: 2, before: 4, after: 1 }
    expect(verdict(anAdjust, { ...sold({}, 1), movements: new Map([['a-1', [movement, again]]]) })).toEqual([
      'applied twice: took effect 2 times',
    ])
  })
  it('a change that is recorded as applied, without a movement', () => {
    expect(verdict({ ...anAdjust, answer: 'unknown' }, recorded('stock_adjustment', [0]))).toEqual([
      'lost: recorded as applied, but there is no movement',
    ])
  })
  it.each([
    ['a wrong quantity', { reported: 'adjusted', quantity: 5 }, sold(), /a stock of 5, but the change left 4/],
    [
      'a dead letter as adjusted',
      { reported: 'adjusted' },
      { deadLetters: [adjustLetter('unknown-sku')] },
      /as adjusted/,
    ],
    ['an applied change as refused', { reported: 'refused' }, sold(), /as refused/],
  ] as const)('a response that reports %s', (_, more, found, text) => {
    expect(verdict({ ...anAdjust, ...more }, found)).toEqual([expect.stringMatching(text)])
  })
  it('a dead letter for insufficient stock although there was always enough', () => {
    const items = [{ id: 1, sku: 'S-1', created: 7, quantity: 7 }]
    expect(verdict(anAdjust, { items, deadLetters: [adjustLetter('insufficient-stock')] })).toEqual([
      expect.stringMatching(/^dead-lettered without reason: a valid adjust/),
    ])
  })
  it('a dead letter for a missing item that was reported as created and never deleted', () => {
    const history = new History()
    attempt(history, { reported: 'created' })
    attempt(history, { ...anAdjust, messageId: 'm-2' })
    const deadLetters = [{ ...adjustLetter('unknown-sku'), messageId: 'm-2' }]
    expect(judge(history, { ...nothing, ...stored, deadLetters }).violations).toMatchObject([
      { what: 'dead-lettered without reason' },
    ])
  })
  it('a delete that was applied twice, once by a redrive', () => {
    expect(verdict(aDelete, recorded('stock_management', [0, 1]))).toEqual(['applied twice: took effect 2 times'])
  })
  it('more dead letters than messages, without a fault that explains it', () => {
    expect(verdict({}, { deadLetters: [letter(), letter()] })).toEqual([
      'dead-lettered again: 2 dead letters, at most 1 expected',
    ])
  })
  it('a dead letter of a message whose refusal was reported', () => {
    const more = { reported: 'refused', sentWaiting: 1 } as const
    expect(verdict(more, { deadLetters: [letter()] })).toEqual([
      'dead-lettered again: 1 dead letters, at most 0 expected: the refusal was reported to the sender',
    ])
  })
  it('a refusal that was neither reported nor recorded', () => {
    expect(verdict({ sentWaiting: 1 }, {})).toEqual([expect.stringMatching(/^lost/)])
  })
  it.each([
    ['because its consumer could not apply it', { reason: 'handler-failed' }, {}],
    ['because the broker dead-lettered it', { reason: 'dead-lettered by the broker' }, {}],
    ['as a duplicate, although no other item has its sku', {}, { sku: 'S-3' }],
    ['and whose sender got no response', { reason: 'handler-failed' }, { answer: 'unknown', messageId: undefined }],
  ] as const)('a valid message that is a dead letter %s', (_, aside, more) => {
    const body = JSON.stringify({ sku: 'S-1', ...more, name: 'item-1' })
    expect(verdict(more, { deadLetters: [letter({ ...aside, body })] })).toEqual([
      expect.stringMatching(/^dead-lettered without reason: a valid create was dead-lettered/),
    ])
  })
  it('a dead letter of a valid delete, even if the delete got no response', () => {
    const aside = letter({ queue: 'stock_management', body: '{"sku":"S-1"}', messageId: 'who knows' })
    expect(verdict({ ...aDelete, answer: 'unknown', messageId: undefined }, { deadLetters: [aside] })).toEqual([
      expect.stringMatching(/^dead-lettered without reason: a valid delete/),
    ])
  })
  it('a table that contradicts the responses', () => {
    expect(verdict({}, stored, [['S-1', undefined]])).toEqual(['table: S-1 should be absent, but is item-1'])
    expect(verdict({}, { ...stored, table: new Map() })).toEqual([expect.stringMatching(/^table: S-1: 1 more inserts/)])
  })
  it('messages left in a queue, a service that is not ready, and a contradictory response', () => {
    expect(verdict({}, { ...stored, left: ['3 messages of q'], unhealthy: ['producer: not ready'] })).toEqual([
      'not drained: 3 messages of q',
      'unhealthy: producer: not ready',
    ])
    const history = new History()
    history.reportContradiction('two items were created with one sku', 'S-1')
    expect(judge(history, nothing).violations).toMatchObject([{ what: 'contradiction' }])
  })
})

describe('the judgement', () => {
  it('counts the results of the accepted messages', () => {
    const history = new History()
    attempt(history)
    attempt(history, { id: 'item-2', messageId: 'm-2', reported: 'refused', sentWaiting: 1 })
    attempt(history, { id: 'item-3', messageId: 'm-3', sentWithoutWaiting: 2 })
    attempt(history, { id: 'item-4', messageId: 'm-4', answer: 'unknown' })
    const deadLetters = [letter({ messageId: 'm-3', body: '{"sku":"S-1","name":"item-3"}' })]
    expect(judge(history, { ...nothing, ...stored, deadLetters })).toMatchObject({
      violations: [],
      attempted: 4,
      accepted: 3,
      applied: 1,
      reported: 1,
      deadLettered: 1,
      indeterminate: 1,
      sentTwice: 1,
    })
  })
})
