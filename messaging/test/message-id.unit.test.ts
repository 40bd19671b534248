// Ids of messages.
import { describe, expect, it } from '@jest/globals'
import { validate, version } from 'uuid'
import { newMessageId } from '../src/message-id.ts'

describe('a message id', () => {
  const ids = Array.from({ length: 20_000 }, newMessageId)

  it('is a UUIDv7 of the time at which it was created', () => {
    expect(ids.every((id) => validate(id) && version(id) === 7)).toBe(true)
    const made = Number.parseInt(ids[0]?.replaceAll('-', '').slice(0, 12) ?? '', 16)
    expect(Math.abs(Date.now() - made)).toBeLessThan(60_000)
  })

  it('is unique, and sorts behind those before it', () => {
    expect(new Set(ids).size).toBe(ids.length)
    expect([...ids].sort()).toEqual(ids)
  })
})
