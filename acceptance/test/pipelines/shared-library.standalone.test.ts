// Runs the shared library's own tests, which are written in Groovy.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect } from '@jest/globals'
import { groovy, itWith, LIBRARY, withoutGroovy } from './simulator.ts'

const test = itWith(withoutGroovy())

describe('the tests of the shared library', () => {
  for (const name of readdirSync(join(LIBRARY, 'test'))) {
    test(`pass: ${name}`, async () => {
      const { code, out, err } = await groovy(['-cp', join(LIBRARY, 'src'), join(LIBRARY, 'test', name)])
      expect({ code, out, err }).toMatchObject({ code: 0, out: 'ok\n' })
    })
  }
})
