// `npm test` runs each test file once. `npm test -- WORD` selects the matching ones, and starts no servers if none of them needs servers.
import { join } from 'node:path'
import { expect, it } from '@jest/globals'
import { z } from 'zod'
import { listedTests, ROOT } from '../src/runs/jest.ts'
import { nothing } from '../src/runs/tally.ts'
import { testsOnServers } from '../src/runs/test.ts'
import { run } from '../src/servers/command.ts'

const jestConfig = z.object({ default: z.object({ projects: z.array(z.object({ displayName: z.string() })) }) })

it('finds the tests that match the words', async () => {
  expect(await listedTests(['integration'], ['up/test/suite-up'])).toEqual([
    expect.stringMatching(/up\/test\/suite-up\.integration\.test\.ts$/),
  ])
})

it('has each test file in exactly one project', async () => {
  const { projects } = jestConfig.parse(await import(join(ROOT, 'jest.config.js'))).default
  const listed = await Promise.all(projects.map(({ displayName }) => listedTests([displayName], [])))
  const files = (await run('git', ['-C', ROOT, 'ls-files', '--cached', '--others', '--exclude-standard', '*.test.ts']))
    .trim()
    .split('\n')
  expect(listed.flat().toSorted()).toEqual(files.map((file) => join(ROOT, file)).toSorted())
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
