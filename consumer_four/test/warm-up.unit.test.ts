// The warm-up of consumer four reads one page, and does not fail when MySQL is down.
import { expect, it } from '@jest/globals'
import { listItems } from '../src/order-processing.ts'
import { warmUp } from '../src/warm-up.ts'

it('warms up by reading the first 1,000 items', async () => {
  const asked: unknown[] = []
  const page = async (request: unknown) => {
    asked.push(request)
    return { items: [], next: 0 }
  }
  await warmUp(listItems({ page }, { maxBytes: 1e6 }))
  expect(asked).toEqual([{ after: 0, limit: 1_000 }])
})

it('warms up without an error when MySQL is down', async () => {
  const page = async () => {
    throw new Error('MySQL is gone')
  }
  await warmUp(listItems({ page }, { maxBytes: 1e6 }))
})
