// `npm test -- WORD` selects the matching tests, and starts no servers if none of them needs servers.
import { expect, it } from '@jest/globals'
import { listedTests } from '../src/runs/jest.ts'
import { nothing } from '../src/runs/tally.ts'
import { testsOnServers } from '../src/runs/test.ts'

it('finds the tests that match the words', async () => {
  expect(await listedTests(['integration'], ['up/test/suite-up'])).toEqual([
    expect.stringMatching(/up\/test\/suite-up\.integration\.test\.ts$/),
  ])
})

it('starts no servers when no test matches', async () => {
  const before = process.env.IMS_SERVICES
  // With this value, a start of servers fails.
  process.env.IMS_SERVICES = 'nowhere'
  try {
    expect(await testsOnServers(['narrowed-to-nothing'], new AbortController().signal)).toEqual(nothing)
    await expect(testsOnServers(['up/test/suite-up'], new AbortController().signal)).rejects.toThrow('nowhere')
  } finally {
    if (before === undefined) delete process.env.IMS_SERVICES
    else process.env.IMS_SERVICES = before
  }
})
