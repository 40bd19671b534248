// The simulator finds the faults that were found by hand: each is put back into the source, and is named within a minute, or three on a busy machine.
import { describe, expect, it } from '@jest/globals'
import { simulateWith } from '../src/mutated.ts'
import { mutations } from '../src/mutations.ts'

describe('the simulator finds', () => {
  it.each(mutations)(
    '$name',
    async (mutation) => {
      expect(await simulateWith(mutation, 180, 1)).toContain('✗')
    },
    300_000,
  )
})
