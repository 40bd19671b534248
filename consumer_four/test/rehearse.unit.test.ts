// The listing that consumer four answers before it consumes.
import { expect, it } from '@jest/globals'
import { listItems } from '../src/order-processing.ts'
import { rehearse } from '../src/rehearse.ts'

it('reads the page that the producer requests first', async () => {
  const asked: unknown[] = []
  const page = async (request: unknown) => {
    asked.push(request)
    return { items: [], next: 0 }
  }
  await rehearse(listItems({ page }, { maxBytes: 1e6 }))
  expect(asked).toEqual([{ after: 0, limit: 1_000 }])
})

it('does not prevent the start when MySQL is down again', async () => {
  const page = async () => {
    throw new Error('MySQL is gone')
  }
  await rehearse(listItems({ page }, { maxBytes: 1e6 }))
})
