// Runs pipeline_files/smoke-test.sh against a correct server, and against a server with each fault.
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from '@jest/globals'
import { runToEnd } from 'testkit'
import { type Flaw, startApiDouble } from './api-double.ts'

const SCRIPT = fileURLToPath(new URL('../../../pipeline_files/smoke-test.sh', import.meta.url))

async function smokeTest(withinS: number, ...args: readonly string[]) {
  const env = { ...process.env, SMOKE_WITHIN_S: String(withinS) }
  const { code, out, err } = await runToEnd({ command: [SCRIPT, ...args], env })
  return { code, stdout: out, stderr: err }
}

describe('the smoke test', () => {
  it('makes the four calls of the original suite and deletes its item', async () => {
    await using api = await startApiDouble('none')
    const { code, stdout, stderr } = await smokeTest(20, api.url)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(api.calls).toEqual([
      'GET /healthcheck',
      'POST /create_item',
      'GET /order_processing',
      'POST /stock_management',
      'GET /order_processing',
    ])
    expect(stdout.trimEnd().split('\n').at(-1)).toBe(`✓ smoke test passed: ${api.url}`)
    expect(api.skus()).toEqual([])
  })

  it('waits until an accepted command takes effect, but never sends a command twice', async () => {
    await using api = await startApiDouble('slow')
    const { code } = await smokeTest(20, `${api.url}/`)
    expect(code).toBe(0)
    expect(api.calls.filter((call) => call === 'GET /order_processing')).toHaveLength(6)
    expect(api.calls.filter((call) => call.startsWith('POST'))).toEqual(['POST /create_item', 'POST /stock_management'])
  })

  const failures: readonly [Flaw, RegExp][] = [
    ['not ready', /failed: GET \/healthcheck: expected 200 with "Health check message sent", got 503 .*broker down/],
    ['empty responses', /failed: GET \/healthcheck: expected 200 with "Health check message sent", got 200 \{\}/],
    ['loses items', /failed: GET \/order_processing lists the item: not within 1 s, the last response was 200 \[\]/],
    ['wrong price', /failed: GET \/order_processing lists the item: not within 1 s, the last response was 200 .*26/],
    ['keeps items', /failed: GET \/order_processing no longer lists the item: not within 1 s/],
  ]
  it.each(failures)('fails on an API with the fault "%s", and names the call', async (flaw, sentence) => {
    await using api = await startApiDouble(flaw)
    const { code, stdout, stderr } = await smokeTest(1, api.url)
    expect(code).toBe(1)
    expect(stderr).toMatch(sentence)
    expect(stdout).not.toContain('passed')
  })

  it('requests the deletion of its item when it fails after creating it', async () => {
    await using api = await startApiDouble('wrong price')
    const { stderr } = await smokeTest(1, api.url)
    expect(stderr).toMatch(/item SMOKE-\d+-\d+: its deletion was requested/)
    expect(api.skus()).toEqual([])
  })

  it('sends the key from the file that SMOKE_API_KEY_FILE names, and does not print it', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'ims-smoke-'))
    const file = join(directory, 'key')
    writeFileSync(file, 'ims_key\n')
    const shown: unknown[] = []
    const api = createServer(({ headers }, response) => {
      shown.push(headers.authorization)
      response.writeHead(403).end()
    }).listen(0, '127.0.0.1')
    await once(api, 'listening')
    const address = api.address()
    const url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`
    try {
      process.env.SMOKE_API_KEY_FILE = file
      const { code, stdout, stderr } = await smokeTest(1, url)
      expect({ code, shown }).toEqual({ code: 1, shown: ['Bearer ims_key'] })
      expect(stdout + stderr).not.toContain('ims_key')
    } finally {
      delete process.env.SMOKE_API_KEY_FILE
      api.close()
      rmSync(directory, { recursive: true })
    }
  })

  it('reports that there is no response if nothing listens', async () => {
    const url = await (async () => {
      await using api = await startApiDouble('none')
      return api.url
    })()
    const { code, stderr } = await smokeTest(1, url)
    expect(code).toBe(1)
    expect(stderr).toMatch(/failed: GET \/healthcheck: expected 200 .*, got no response \(curl: \(7\)/)
  })

  it.each([[[]], [['127.0.0.1:5000']], [['http://127.0.0.1', 'x']]])(
    'prints its usage when called with %j',
    async (args) => {
      const { code, stderr } = await smokeTest(1, ...args)
      expect(code).toBe(64)
      expect(stderr).toContain('usage: smoke-test.sh URL')
    },
  )
})
