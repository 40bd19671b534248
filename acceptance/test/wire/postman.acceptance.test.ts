// The Postman collection passes against the suite repeatedly, deletes its items, and fails if a response is not as expected.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { ROOT, type Stack, startStack } from '../stack.ts'
import { runNewman } from './newman.ts'

describe('the Postman collection', () => {
  let stack: Stack
  beforeAll(async () => {
    stack = await startStack('postman')
  })
  afterAll(async () => await stack.stop())

  it.each(['on a clean table', 'again'])('passes %s, and deletes its items', async () => {
    expect(await runNewman(stack.http)).toEqual({ code: 0, output: expect.any(String) })
    expect(await stack.skus()).toEqual([])
  })

  it('fails if a response is not as expected', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'ims-postman-'))
    const broken = join(directory, 'broken.json')
    const collection = readFileSync(join(ROOT, 'docs/ims.postman_collection.json'), 'utf8')
    writeFileSync(broken, collection.replace('to.have.status(409)', 'to.have.status(200)'))
    const { code, output } = await runNewman(stack.http, broken)
    rmSync(directory, { recursive: true })
    expect([code, output]).toEqual([
      1,
      expect.stringContaining('expected response to have status code 200 but got 409'),
    ])
  })
})
