// The simulation finds bugs that were once found by hand. Each test puts one bug back into the source. A search takes
// less than a minute, or up to ten minutes on a busy machine.
import { describe, expect, it } from '@jest/globals'
import { simulateWith } from '../src/mutated.ts'
import { mutations } from '../src/mutations.ts'

describe('the simulation finds the bug', () => {
  it.each(mutations)(
    '$name',
    async (mutation) => {
      expect(await simulateWith(mutation, 600, 1)).toContain('✗')
    },
    900_000,
  )
})
