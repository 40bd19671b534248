// The flags that limit V8's memory: they are known to this version of Node, and have the effect for which they are set.
import { spawnSync } from 'node:child_process'
import { expect, it } from '@jest/globals'

const MIB = 1_048_576

it('at most 48 MiB of dropped buffers gather, of the 100 without the limit, before they are collected, and V8 knows every flag', () => {
  const program = `${import.meta.dirname}/fixtures/young-buffers.ts`
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', program], {
    encoding: 'utf8',
  })
  expect([status, stderr]).toEqual([0, ''])
  expect(Number(stdout)).toBeGreaterThan(0)
  expect(Number(stdout)).toBeLessThan(48 * MIB)
})
