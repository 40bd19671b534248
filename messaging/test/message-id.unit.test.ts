// New and derived message ids.
import { describe, expect, it } from '@jest/globals'
import { validate, version } from 'uuid'
import { derivedMessageId, newMessageId } from '../src/message-id.ts'

describe('a message id', () => {
  const ids = Array.from({ length: 20_000 }, newMessageId)

  it('is a UUIDv7 of the time at which it was created', () => {
    expect(ids.every((id) => validate(id) && version(id) === 7)).toBe(true)
    const createdMs = Number.parseInt(ids[0]?.replaceAll('-', '').slice(0, 12) ?? '', 16)
    expect(Math.abs(Date.now() - createdMs)).toBeLessThan(60_000)
  })

  it('is unique, and sorts after all earlier ids', () => {
    expect(new Set(ids).size).toBe(ids.length)
    expect([...ids].sort()).toEqual(ids)
  })
})

describe('a derived id', () => {
  it('is a UUIDv8 that is the same for the same parts and different for other parts', () => {
    const parts = [['a', 'b'], ['a', 'c'], ['ab'], ['a', '', 'b'], ['a,b'], ['a"', '"b'], ['b', 'a'], []]
    const ids = parts.map((each) => derivedMessageId(...each))
    expect(ids.every((id) => validate(id) && version(id) === 8)).toBe(true)
    expect(new Set(ids).size).toBe(parts.length)
    expect(parts.map((each) => derivedMessageId(...each))).toEqual(ids)
  })

  // A repeated request may reach another version of the service.
  it('is the same as in earlier versions', () => {
    expect(derivedMessageId('create_item', 'shop', '"k"')).toBe('1f6621c0-5e30-88b4-b73b-dbc587631c28')
  })
})
