// The memory budget: the limit of each buffer, and which settings do not fit.
import { describe, expect, it } from '@jest/globals'
import { serviceNames } from '../../accounts/src/suite.ts'
import { type Buffered, DoesNotFit, MemoryBudget, readMemoryBudget } from '../src/index.ts'

const MIB = 1_048_576
const BUFFERS: readonly Buffered[] = [
  'connections',
  'halfReadRequests',
  'requestsInFlight',
  'waits',
  'unconfirmedMessages',
  'messagesInFlight',
  'pages',
  'deadLetterWindow',
]

describe('the memory budget', () => {
  it.each(serviceNames)('of %s divides all memory that Node.js does not need, and no more', (service) => {
    for (const totalMib of [144, 256, 4_096]) {
      const budget = new MemoryBudget(service, totalMib * MIB)
      const bytes = BUFFERS.reduce((sum, buffer) => sum + budget.bytes(buffer), 0)
      expect(bytes).toBeLessThanOrEqual((totalMib - 112) * MIB)
      expect(bytes).toBeGreaterThan((totalMib - 113) * MIB)
    }
  })

  it('grows with the memory of the process', () => {
    const [small, large] = [256, 1_024].map((mib) => new MemoryBudget('producer', mib * MIB).bytes('pages'))
    expect(large).toBeGreaterThan(6 * (small ?? 0))
  })

  it('derives an unset limit from the share, up to the maximum that is useful', () => {
    const budget = new MemoryBudget('producer', 256 * MIB)
    const notSet = { variable: 'MANY', configured: undefined }
    const fits = budget.limit('connections', notSet, { costBytes: 10_000 })
    expect(fits).toBe(Math.floor(budget.bytes('connections') / 10_000))
    expect(budget.limit('connections', notSet, { costBytes: 10_000, maxUseful: 5 })).toBe(5)
  })

  it('accepts a configured limit that fits, and rejects one that does not fit', () => {
    const budget = new MemoryBudget('producer', 256 * MIB)
    const set = (configured: number) =>
      budget.limit('connections', { variable: 'MANY', configured }, { costBytes: MIB })
    expect(set(40)).toBe(40)
    expect(() => set(41)).toThrow(DoesNotFit)
    expect(() => set(41)).toThrow(
      "MANY=41 does not fit into 256 MiB of memory: set at most 40, or raise MEMORY_MAX_MIB and the container's limit",
    )
  })

  it('rejects a process with less than 144 MiB', () => {
    expect(() => new MemoryBudget('producer', 128 * MIB)).toThrow(
      'producer may use 128 MiB of memory but needs 144: raise MEMORY_MAX_MIB',
    )
  })

  it('is the configured memory if nothing limits it further', () => {
    expect(readMemoryBudget('producer', { maxBytes: 200 * MIB }).totalBytes).toBe(200 * MIB)
  })

  it.each([
    [160 * MIB, 160 * MIB],
    [400 * MIB, 200 * MIB],
    // Node.js reports one of these when there is no limit.
    [0, 200 * MIB],
    [2 ** 64, 200 * MIB],
  ])('does not exceed the memory limit of the container: %d bytes', (containerBytes, expected) => {
    const { constrainedMemory } = process
    process.constrainedMemory = () => containerBytes
    try {
      expect(readMemoryBudget('producer', { maxBytes: 200 * MIB }).totalBytes).toBe(expected)
    } finally {
      process.constrainedMemory = constrainedMemory
    }
  })
})
