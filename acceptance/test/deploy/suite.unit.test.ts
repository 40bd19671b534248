// accounts/src/suite.ts lists the services and queues. Every other file that names them agrees with it.
import { queues, serviceNames, services } from '@ims/accounts/suite'
import { contracts } from '@ims/messaging'
import { describe, expect, it } from '@jest/globals'
import { mirrorsOf, missingFor, unlisted } from './suite-mirrors.ts'

describe('the list of services', () => {
  it.each(services)('names $name, and so does every file that repeats the list', (service) => {
    expect(missingFor(service)).toEqual([])
  })

  it('names every folder of a consumer', () => {
    expect(unlisted(serviceNames)).toEqual([])
  })

  it('has the queues of the contracts, with their kinds', () => {
    expect(Object.fromEntries(contracts.map(({ queue, kind }) => [queue, kind]))).toEqual(queues)
  })

  it('has one consumer for each queue', () => {
    expect(services.flatMap(({ consumes }) => consumes).sort()).toEqual(Object.keys(queues).sort())
  })

  it.each([
    { name: 'consumer_nine', adminPort: 9099, consumes: ['imagined'], tables: { inventory: ['SELECT'] } },
    { name: 'producer_nine', adminPort: 9098, consumes: [] },
  ] as const)('has a check that reports each missing line of $name', (imagined) => {
    expect(missingFor(imagined)).toHaveLength(mirrorsOf(imagined).length + 1)
  })
})
