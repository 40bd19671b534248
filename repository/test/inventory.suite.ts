// The conformance suite for inventories: MySQL and the in-memory one pass it.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import type { Inventory } from '../src/contract.ts'
import { adjustment, creation, deletion } from './commands.ts'

export interface Harness {
  /** An inventory without items and without recorded messages. */
  empty(): Promise<Inventory>
  close(): Promise<void>
}

const created = { kind: 'created', repeated: false }
const createdBefore = { kind: 'created', repeated: true }
const deleted = { kind: 'deleted', repeated: false }
const unknownSku = { kind: 'unknown-sku', repeated: false }
const refused = (kind: string, error: RegExp = /./) => ({ kind, error: expect.stringMatching(error) })

export function describeInventory(name: string, start: () => Promise<Harness>): void {
  describe(name, () => {
    let harness: Harness
    let inventory: Inventory
    const skus = async () => (await inventory.page({ after: 0, limit: 1_000 })).items.map(({ sku }) => sku)

    beforeAll(async () => {
      harness = await start()
    })
    beforeEach(async () => {
      inventory = await harness.empty()
    })
    afterAll(async () => {
      await harness.close()
    })

    describe('create', () => {
      it('stores items, which are listed with five members in order', async () => {
        expect(await inventory.create([creation({ sku: 'a' }), creation({ sku: 'b', price: 19.99 })])).toEqual([
          created,
          created,
        ])
        expect(JSON.stringify((await inventory.page({ after: 0, limit: 10 })).items)).toBe(
          '[{"sku":"a","name":"Apple Juice","label":"juice","price":25,"quantity":50},' +
            '{"sku":"b","name":"Apple Juice","label":"juice","price":19.99,"quantity":50}]',
        )
      })

      it('returns no outcomes for no commands', async () => {
        expect(await inventory.create([])).toEqual([])
        expect(await inventory.delete([])).toEqual([])
      })

      it('applies a message only once when it is delivered twice', async () => {
        expect(await inventory.create([creation({}, { messageId: 'm' })])).toEqual([created])
        expect(await inventory.create([creation({}, { messageId: 'm', redelivered: true })])).toEqual([createdBefore])
        expect(await skus()).toEqual(['k1'])
      })

      it('applies a message only once when a batch contains it twice', async () => {
        const command = creation({}, { messageId: 'm' })
        expect(await inventory.create([command, command])).toEqual([created, createdBefore])
      })

      it('does not restore an item when its message is redelivered after the item was deleted', async () => {
        await inventory.create([creation({}, { messageId: 'm' })])
        await inventory.delete([deletion('k1')])
        expect(await inventory.create([creation({}, { messageId: 'm', redelivered: true })])).toEqual([createdBefore])
        expect(await skus()).toEqual([])
      })

      it('refuses a message id that is reused with another body', async () => {
        await inventory.create([creation({ sku: 'a' }, { messageId: 'm' })])
        expect(await inventory.create([creation({ sku: 'b' }, { messageId: 'm' })])).toEqual([
          refused('message-id-reused', /m was used before/),
        ])
        expect(await skus()).toEqual(['a'])
      })

      it('refuses a duplicate sku, and stores the other items of the batch', async () => {
        await inventory.create([creation({ sku: 'taken' }, { messageId: 'm0' })])
        const outcomes = await inventory.create([
          creation({ sku: 'a' }, { messageId: 'm1' }),
          creation({ sku: 'taken', name: 'other' }, { messageId: 'm2' }),
          creation({ sku: 'b' }, { messageId: 'm3' }),
        ])
        expect(outcomes).toEqual([created, refused('duplicate-sku', /"taken" is stored already/), created])
        expect(await skus()).toEqual(['taken', 'a', 'b'])
      })

      it('refuses a redelivered message as a duplicate, even with equal content, when its id is not in the inbox', async () => {
        await inventory.create([creation({}, { messageId: 'm1' })])
        expect(await inventory.create([creation({}, { messageId: 'm2', redelivered: true })])).toEqual([
          refused('duplicate-sku'),
        ])
      })

      it('stores the first of two items with the same sku in a batch', async () => {
        expect(await inventory.create([creation({ name: 'first' }), creation({ name: 'second' })])).toEqual([
          created,
          refused('duplicate-sku'),
        ])
        expect((await inventory.page({ after: 0, limit: 10 })).items).toMatchObject([{ name: 'first' }])
      })

      it('stores the second of two items with the same sku in a batch when the first is refused', async () => {
        const outcomes = await inventory.create([creation({ name: 'x'.repeat(101) }), creation({ name: 'second' })])
        expect(outcomes).toEqual([refused('rejected-by-database'), created])
      })

      it('repeats a recorded refusal word for word, even if the item could now be stored', async () => {
        await inventory.create([creation({ sku: 'taken' }, { messageId: 'm0' })])
        const command = creation({ sku: 'taken' }, { messageId: 'm1' })
        const [refusal] = await inventory.create([command])
        expect(refusal).toEqual(refused('duplicate-sku', /"taken" is stored already/))
        await inventory.delete([deletion('taken')])
        expect(await inventory.create([{ ...command, redelivered: true }, command])).toEqual([refusal, refusal])
        expect(await skus()).toEqual([])
      })

      it('processes a refused message again after each redrive, and applies it once', async () => {
        await inventory.create([creation({ sku: 'taken' }, { messageId: 'm0' })])
        const command = creation({ sku: 'taken' }, { messageId: 'm1' })
        const redriven = (redrives: number) => ({ ...command, redrives })
        await inventory.create([command])
        expect(await inventory.create([redriven(1)])).toEqual([refused('duplicate-sku')])
        await inventory.delete([deletion('taken')])
        expect(await inventory.create([redriven(1)])).toEqual([refused('duplicate-sku')])
        expect(await inventory.create([redriven(2)])).toEqual([created])
        await inventory.delete([deletion('taken')])
        expect(await inventory.create([redriven(3), redriven(2)])).toEqual([createdBefore, createdBefore])
        expect(await skus()).toEqual([])
      })

      it('does not restore an item when its message was applied and a dead letter of it is redriven', async () => {
        const command = creation({}, { messageId: 'm' })
        await inventory.create([command])
        await inventory.delete([deletion('k1')])
        expect(await inventory.create([{ ...command, redrives: 1 }])).toEqual([createdBefore])
        expect(await skus()).toEqual([])
      })

      it('applies a message once if it was applied after a redrive and its first copy or another dead letter comes later', async () => {
        const command = creation({}, { messageId: 'm' })
        expect(await inventory.create([{ ...command, redrives: 2 }])).toEqual([created])
        expect(
          (await inventory.recorded(['m'])).map(({ verdicts }) => verdicts.map(({ redrives }) => redrives)),
        ).toEqual([[2]])
        await inventory.delete([deletion('k1')])
        for (const redrives of [0, 1, 3])
          expect(await inventory.create([{ ...command, redrives }])).toEqual([createdBefore])
        expect(await skus()).toEqual([])
      })

      it('reports a message as applied that was refused, and was applied after a redrive', async () => {
        await inventory.create([creation({ sku: 'taken' }, { messageId: 'm0' })])
        const command = creation({ sku: 'taken' }, { messageId: 'm1' })
        await inventory.create([command])
        await inventory.delete([deletion('taken')])
        expect(await inventory.create([{ ...command, redrives: 2 }])).toEqual([created])
        for (const redrives of [0, 1])
          expect(await inventory.create([{ ...command, redrives }])).toEqual([createdBefore])
      })

      it('refuses a redriven message whose id was used before with another body', async () => {
        await inventory.create([creation({ sku: 'a' }, { messageId: 'm' })])
        expect(await inventory.create([creation({ sku: 'b' }, { messageId: 'm', redrives: 1 })])).toEqual([
          refused('message-id-reused', /m was used before/),
        ])
        expect(await skus()).toEqual(['a'])
      })

      it('refuses another body with the id of a refused message', async () => {
        const bad = creation({ name: 'x'.repeat(101) }, { messageId: 'm' })
        expect(await inventory.create([bad, bad])).toEqual([
          refused('rejected-by-database'),
          refused('rejected-by-database'),
        ])
        expect(await inventory.create([creation({ name: 'short' }, { messageId: 'm' })])).toEqual([
          refused('message-id-reused'),
        ])
      })

      it('treats a redelivered message without id as applied when the stored item has the same content', async () => {
        await inventory.create([creation({ price: 19.99 })])
        expect(await inventory.create([creation({ price: 19.99 }, { redelivered: true })])).toEqual([createdBefore])
        expect(await inventory.create([creation({ price: 19.98 }, { redelivered: true })])).toEqual([
          refused('duplicate-sku'),
        ])
        expect(await inventory.create([creation({ price: 19.99 })])).toEqual([refused('duplicate-sku')])
      })

      it.each([
        ['sku', { sku: 's'.repeat(21) }],
        ['name', { name: 'n'.repeat(101) }],
        ['label', { label: 'l'.repeat(51) }],
        ['price', { price: 100_000_000_000 }],
        ['quantity', { quantity: 2_147_483_648 }],
      ])(
        'refuses an item whose %s does not fit, names the column in the error, and stores the other items',
        async (column, body) => {
          const outcomes = await inventory.create([creation({ sku: 'a' }), creation(body), creation({ sku: 'b' })])
          expect(outcomes).toEqual([created, refused('rejected-by-database', new RegExp(`'${column}'$`)), created])
          expect(await skus()).toEqual(['a', 'b'])
        },
      )

      it('stores text of several scripts and large prices unchanged', async () => {
        const body = {
          sku: "é'\\%_日本😀",
          name: '"; DROP TABLE inventory; -- 😀',
          label: 'ярлык',
          price: 99_999_999_999.9999,
        }
        const dear = { ...body, sku: 'dear', price: 12_345_678.99, quantity: 2_147_483_647 }
        expect(await inventory.create([creation(body), creation(dear)])).toEqual([created, created])
        expect((await inventory.page({ after: 0, limit: 10 })).items).toMatchObject([body, dear])
      })

      it.each([
        ['case', 'K1'],
        ['an accent', 'ḱ1'],
        ['a trailing blank', 'k1 '],
        ['width', 'ｋ1'],
      ])('treats skus that differ only in %s as different', async (_, other) => {
        expect(await inventory.create([creation({ sku: 'k1' }), creation({ sku: other })])).toEqual([created, created])
        expect(await inventory.page({ after: 0, limit: 10, sku: other })).toMatchObject({ items: [{ sku: other }] })
        expect(await inventory.delete([deletion(other)])).toEqual([deleted])
        expect(await skus()).toEqual(['k1'])
      })

      it('compares message ids byte for byte, up to 255 characters', async () => {
        const ids = ['m', 'M', 'm ', 'm\u0000', 'ḿ', 'x'.repeat(255), `${'x'.repeat(254)}y`, '日'.repeat(255)]
        const commands = ids.map((messageId, index) => creation({ sku: `s${index}` }, { messageId }))
        expect(await inventory.create(commands)).toEqual(ids.map(() => created))
        expect(await inventory.create(commands)).toEqual(ids.map(() => createdBefore))
      })

      it('applies a large batch in order', async () => {
        const commands = Array.from({ length: 1_000 }, (_, n) => creation({ sku: `s${n}` }, { messageId: `m${n}` }))
        expect(new Set((await inventory.create(commands)).map(({ kind }) => kind))).toEqual(new Set(['created']))
        expect(await skus()).toEqual(commands.map(({ body }) => body.sku))
      })
    })

    describe('delete', () => {
      it('deletes existing items and reports missing ones', async () => {
        await inventory.create([creation({ sku: 'a' }), creation({ sku: 'b' }), creation({ sku: 'c' })])
        const outcomes = await inventory.delete([deletion('a'), deletion('nowhere'), deletion('c')])
        expect(outcomes).toEqual([deleted, unknownSku, deleted])
        expect(await skus()).toEqual(['b'])
      })

      it('reports an item as deleted only for the first of two messages in a batch', async () => {
        await inventory.create([creation({})])
        expect(await inventory.delete([deletion('k1'), deletion('k1')])).toEqual([deleted, unknownSku])
      })

      it('repeats the first outcome for a message that is delivered twice', async () => {
        await inventory.create([creation({ sku: 'a' })])
        const commands = [deletion('a', { messageId: 'm1' }), deletion('b', { messageId: 'm2' })]
        expect(await inventory.delete(commands)).toEqual([deleted, unknownSku])
        await inventory.create([creation({ sku: 'a' }), creation({ sku: 'b' })])
        expect(await inventory.delete([...commands, deletion('b', { messageId: 'm3' })])).toEqual([
          { kind: 'deleted', repeated: true },
          { kind: 'unknown-sku', repeated: true },
          deleted,
        ])
        expect(await skus()).toEqual(['a'])
      })

      it('applies a message only once when a batch contains it twice', async () => {
        await inventory.create([creation({})])
        const command = deletion('k1', { messageId: 'm' })
        expect(await inventory.delete([command, command])).toEqual([deleted, { kind: 'deleted', repeated: true }])
      })

      it('applies a message once if it was applied after a redrive and its first copy or another dead letter comes later', async () => {
        await inventory.create([creation({})])
        const command = deletion('k1', { messageId: 'm' })
        expect(await inventory.delete([{ ...command, redrives: 2 }])).toEqual([deleted])
        await inventory.create([creation({})])
        for (const redrives of [0, 1, 3])
          expect(await inventory.delete([{ ...command, redrives }])).toEqual([{ kind: 'deleted', repeated: true }])
        expect(await skus()).toEqual(['k1'])
      })

      it('refuses a message id that is reused with another body, in a later batch and in the same one', async () => {
        await inventory.create([creation({ sku: 'a' }), creation({ sku: 'b' })])
        const outcomes = await inventory.delete([deletion('a', { messageId: 'm' }), deletion('b', { messageId: 'm' })])
        expect(outcomes).toEqual([deleted, refused('message-id-reused')])
        expect(await inventory.delete([deletion('b', { messageId: 'm' })])).toEqual([refused('message-id-reused')])
        expect(await skus()).toEqual(['b'])
      })

      it('keeps the message ids of creates and of deletes separate', async () => {
        await inventory.create([creation({}, { messageId: 'm' })])
        expect(await inventory.delete([deletion('k1', { messageId: 'm' })])).toEqual([deleted])
      })

      it('compares skus as text, so "0" does not match other skus', async () => {
        await inventory.create([creation({ sku: 'abc' }), creation({ sku: '0' }), creation({ sku: '0abc' })])
        expect(await inventory.delete([deletion('0')])).toEqual([deleted])
        expect(await skus()).toEqual(['abc', '0abc'])
      })
    })

    describe('adjust', () => {
      const quantityOf = async (sku: string) => (await inventory.page({ after: 0, limit: 1, sku })).items[0]?.quantity
      const adjusted = (quantity: number, repeated = false) => ({ kind: 'adjusted', quantity, repeated })

      beforeEach(async () => {
        await inventory.create([creation({ quantity: 10 }), creation({ sku: 'k2', quantity: 5 })])
      })

      it('adds to the quantity, and returns the new quantity', async () => {
        expect(await inventory.adjust([adjustment({ change: -3 }), adjustment({ sku: 'k2', change: 4 })])).toEqual([
          adjusted(7),
          adjusted(9),
        ])
        expect([await quantityOf('k1'), await quantityOf('k2')]).toEqual([7, 9])
        expect(await inventory.adjust([])).toEqual([])
      })

      it('applies the changes of one item in order, each on the result of the previous one', async () => {
        const changes = [-4, -7, 3, -9].map((change) => adjustment({ change }))
        expect(await inventory.adjust(changes)).toEqual([
          adjusted(6),
          refused('insufficient-stock', /^the change is -7, but the quantity of sku "k1" is 6$/),
          adjusted(9),
          adjusted(0),
        ])
        expect(await quantityOf('k1')).toBe(0)
      })

      it('applies a message only once when it is repeated in the same batch or in the next one', async () => {
        const once = adjustment({ change: -3 }, { messageId: 'm' })
        expect(await inventory.adjust([once, once])).toEqual([adjusted(7), adjusted(7, true)])
        const again = { ...once, redelivered: true }
        expect(await inventory.adjust([adjustment({ change: 1 }), again])).toEqual([adjusted(8), adjusted(7, true)])
        expect(await quantityOf('k1')).toBe(8)
      })

      it('repeats a recorded refusal, even if the change could now be applied', async () => {
        const large = adjustment({ change: -11 }, { messageId: 'm' })
        const [first] = await inventory.adjust([large])
        await inventory.adjust([adjustment({ change: 5 })])
        expect(await inventory.adjust([{ ...large, redelivered: true }])).toEqual([first])
        expect(await quantityOf('k1')).toBe(15)
      })

      it('processes a redriven message again, and applies it at most once', async () => {
        const large = adjustment({ change: -11 }, { messageId: 'm' })
        await inventory.adjust([large])
        await inventory.adjust([adjustment({ change: 5 })])
        expect(await inventory.adjust([{ ...large, redrives: 1 }])).toEqual([adjusted(4)])
        expect(await inventory.adjust([{ ...large, redrives: 2 }])).toEqual([adjusted(4, true)])
      })

      it('reports a message as applied that was refused, and was applied after a redrive', async () => {
        const large = adjustment({ change: -11 }, { messageId: 'm' })
        await inventory.adjust([large])
        await inventory.adjust([adjustment({ change: 5 })])
        expect(await inventory.adjust([{ ...large, redrives: 1 }])).toEqual([adjusted(4)])
        // The client that sent it repeats its request with the same Idempotency-Key.
        expect(await inventory.adjust([large])).toEqual([adjusted(4, true)])
      })

      it('refuses a reused id with another body, and a message without an id', async () => {
        await inventory.adjust([adjustment({ change: -3 }, { messageId: 'm' })])
        expect(
          await inventory.adjust([
            adjustment({ change: -4 }, { messageId: 'm' }),
            adjustment({ change: -4 }, { messageId: undefined }),
          ]),
        ).toEqual([refused('message-id-reused'), refused('no-message-id')])
        expect(await quantityOf('k1')).toBe(7)
      })

      it('refuses an unknown sku, and a quantity that exceeds the column', async () => {
        expect(await inventory.adjust([adjustment({ sku: 'k9' }), adjustment({ change: 2_147_483_647 })])).toEqual([
          refused('unknown-sku', /^there is no item with sku "k9"$/),
          refused('quantity-too-large', /2147483657/),
        ])
      })

      it('stores one movement for each applied change, in order, and lists them in pages', async () => {
        const by = { by: 'shop', requestId: 'r-1' }
        const sold = adjustment({ change: -3, ...by }, { messageId: 'm1' })
        await inventory.adjust([
          sold,
          adjustment({ change: -99 }),
          adjustment({ sku: 'k2', change: 1, reason: 'found' }),
        ])
        await inventory.adjust([adjustment({ change: 2 }), sold])
        const first = await inventory.movements({ after: 0, limit: 2 })
        expect(first.movements).toMatchObject([
          { messageId: 'm1', sku: 'k1', change: -3, quantityBefore: 10, quantityAfter: 7, reason: 'sold', ...by },
          { sku: 'k2', change: 1, quantityBefore: 5, quantityAfter: 6, reason: 'found', by: null, requestId: null },
        ])
        expect(first.movements[0]?.at).toMatch(/^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
        const second = await inventory.movements({ after: first.next, limit: 2 })
        expect(second).toMatchObject({ movements: [{ sku: 'k1', quantityBefore: 7, quantityAfter: 9 }], next: 0 })
        const ofOne = await inventory.movements({ after: 0, limit: 9, sku: 'k1' })
        expect(ofOne.movements.map(({ change }) => change)).toEqual([-3, 2])
      })
    })

    describe('recorded', () => {
      it('returns the outcomes for an id, oldest first, with the queue and the number of redrives', async () => {
        await inventory.create([creation({ sku: 'a' }), creation({ sku: 'a' }, { messageId: 'm' })])
        await inventory.delete([deletion('a', { messageId: 'other' })])
        await inventory.create([creation({ sku: 'a' }, { messageId: 'm', redrives: 1 })])
        const [of, ofOther, ofNone] = await inventory.recorded(['m', 'other', 'none'])
        const { verdicts = [], remembersSince } = of ?? {}
        expect(ofOther?.verdicts).toMatchObject([{ queue: 'stock_management', outcome: 'deleted' }])
        expect(ofNone).toEqual({ verdicts: [], remembersSince })
        expect(verdicts).toEqual([
          {
            queue: 'create_item',
            redrives: 0,
            outcome: 'duplicate-sku',
            error: expect.any(String),
            at: expect.any(String),
          },
          { queue: 'create_item', redrives: 1, outcome: 'created', error: null, at: expect.any(String) },
        ])
        for (const { at } of verdicts) expect(at).toMatch(/^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
        expect(remembersSince).toBe(verdicts[0]?.at)
      })

      it('returns no outcomes for an unknown id', async () => {
        expect(await inventory.recorded(['m'])).toEqual([{ verdicts: [], remembersSince: null }])
        await inventory.delete([deletion('a', { messageId: 'other' })])
        expect(await inventory.recorded(['m'])).toEqual([{ verdicts: [], remembersSince: expect.any(String) }])
      })
    })

    describe('page', () => {
      it('lists every item once, page by page', async () => {
        const all = Array.from({ length: 7 }, (_, n) => `s${n}`)
        await inventory.create(all.map((sku) => creation({ sku })))
        const seen: unknown[] = []
        let after = 0
        do {
          const { items, next } = await inventory.page({ after, limit: 3 })
          seen.push(...items.map(({ sku }) => sku))
          after = next
        } while (after !== 0)
        expect(seen).toEqual(all)
      })

      it('returns 0 as `next` for a full last page and for an empty inventory', async () => {
        expect(await inventory.page({ after: 0, limit: 2 })).toEqual({ items: [], next: 0 })
        await inventory.create([creation({ sku: 'a' }), creation({ sku: 'b' })])
        expect(await inventory.page({ after: 0, limit: 2 })).toMatchObject({ items: [{}, {}], next: 0 })
        expect((await inventory.page({ after: 0, limit: 1 })).next).not.toBe(0)
      })

      it('continues after an item that was deleted after the previous page', async () => {
        await inventory.create(['a', 'b', 'c'].map((sku) => creation({ sku })))
        const { next } = await inventory.page({ after: 0, limit: 2 })
        await inventory.delete([deletion('b')])
        expect(await inventory.page({ after: next, limit: 2 })).toMatchObject({ items: [{ sku: 'c' }], next: 0 })
      })

      it('filters by label and by sku', async () => {
        const labels = ['tea', 'juice', 'Tea', 'tea', 'tea ']
        await inventory.create(labels.map((label, n) => creation({ sku: `s${n}`, label })))
        const first = await inventory.page({ after: 0, limit: 1, label: 'tea' })
        expect(first.items).toMatchObject([{ sku: 's0' }])
        const second = await inventory.page({ after: first.next, limit: 1, label: 'tea' })
        expect(second).toMatchObject({ items: [{ sku: 's3' }], next: 0 })
        expect(await inventory.page({ after: 0, limit: 9, sku: 's1' })).toMatchObject({ items: [{ sku: 's1' }] })
        expect((await inventory.page({ after: 0, limit: 9, sku: 's1', label: 'tea' })).items).toEqual([])
      })

      it('finds a part of a word in sku, name or label, and ignores case and accents', async () => {
        const rows = [
          { sku: 'IB-100%', name: 'Apfelsaft, trüb', label: 'juice' },
          { sku: 'b', name: 'Crème brûlée', label: 'Dessert_1' },
          { sku: 'c', name: '価格 😀', label: 'Dessert|1' },
          { sku: 'd', name: "Robert'); DROP TABLE inventory; --", label: 'a\\b' },
        ]
        await inventory.create(rows.map((row) => creation(row)))
        const found = async (q: string) => (await inventory.page({ after: 0, limit: 9, q })).items.map(({ sku }) => sku)
        expect(await found('ib-1')).toEqual(['IB-100%'])
        expect(await found('SAFT')).toEqual(['IB-100%'])
        expect(await found('creme BRU')).toEqual(['b'])
        expect(await found('TRÜB')).toEqual(['IB-100%'])
        expect(await found('sser')).toEqual(['b', 'c'])
        expect(await found('格')).toEqual(['c'])
        // Special characters of a LIKE pattern are matched literally.
        expect(await found('%')).toEqual(['IB-100%'])
        expect(await found('t_1')).toEqual(['b'])
        expect(await found('t|1')).toEqual(['c'])
        expect(await found('a\\b')).toEqual(['d'])
        expect(await found("'); drop")).toEqual(['d'])
        expect(await found('nothing')).toEqual([])
        const first = await inventory.page({ after: 0, limit: 1, q: 'dessert' })
        expect(first.items).toMatchObject([{ sku: 'b' }])
        expect(await inventory.page({ after: first.next, limit: 1, q: 'dessert' })).toMatchObject({
          items: [{ sku: 'c' }],
          next: 0,
        })
        expect((await inventory.page({ after: 0, limit: 9, q: 'dessert', label: 'juice' })).items).toEqual([])
      })

      it('lists only items whose quantity is below `quantityBelow`', async () => {
        const quantities = [5, 0, 4, 9, 3]
        await inventory.create(quantities.map((quantity, n) => creation({ sku: `s${n}`, quantity })))
        const first = await inventory.page({ after: 0, limit: 2, quantityBelow: 5 })
        expect(first.items).toMatchObject([{ sku: 's1' }, { sku: 's2' }])
        const second = await inventory.page({ after: first.next, limit: 2, quantityBelow: 5 })
        expect(second).toMatchObject({ items: [{ sku: 's4' }], next: 0 })
        expect((await inventory.page({ after: 0, limit: 2, quantityBelow: 0 })).items).toEqual([])
      })
    })
  })
}
