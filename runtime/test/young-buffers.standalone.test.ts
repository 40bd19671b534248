// The V8 flags that limit the young generation: this version of Node knows them, and they have an effect.
import { spawnSync } from 'node:child_process'
import { expect, it } from '@jest/globals'

const MIB = 1_048_576

it('limitYoungGeneration keeps dropped buffers below 48 MiB, and prints no warning about a flag', () => {
  const program = `${import.meta.dirname}/fixtures/young-buffers.ts`
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', program], {
    encoding: 'utf8',
  })
  expect([status, stderr]).toEqual([0, ''])
  expect(Number(stdout)).toBeGreaterThan(0)
  // Without the flags, the maximum is about 100 MiB.
  expect(Number(stdout)).toBeLessThan(48 * MIB)
})
