// The environment of the producer.
import { contracts } from '@ims/messaging'
import { describe, expect, it } from '@jest/globals'
import { httpEnvironment } from '../src/config.ts'

describe('the environment of the producer', () => {
  it('listens on 127.0.0.1:5000 and waits for all four consumers, unless told otherwise', () => {
    const config = httpEnvironment.parse({})
    expect(config).toMatchObject({ host: '127.0.0.1', port: 5000, waitFor: contracts, bodyMostBytes: 102_400 })
    expect(httpEnvironment.parse({ WAIT_FOR_CONSUMERS: 'false' }).waitFor).toEqual([])
  })

  it.each([
    ['PORT', '12x'],
    ['PORT', '65536'],
    ['HTTP_HOST', ''],
    ['WAIT_FOR_CONSUMERS', 'yes'],
    ['RPC_TIMEOUT_MS', '0'],
    ['LIST_PAGE_ITEMS', '5001'],
    ['PREFER_WAIT_MOST_S', '-1'],
  ])('refuses %s=%s', (name, value) => {
    const { error } = httpEnvironment.safeParse({ [name]: value })
    expect(error?.issues.map(({ path }) => path)).toEqual([[name]])
  })
})
