// Access control of a producer process: invalid settings, access without keys, and a changed key file.
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals'
import { eventually, serversEnvironment, serversUnderTest, type TestSpace } from 'testkit'
import { killAll, logged, startWith } from '../alerts/service-in-trouble.ts'

const LISTENING = /listening on http:\/\/[\d.]+:(\d+)/
const ADMIN = /"adminPort":(\d+)/
const CONFIGURATION = 78
let space: TestSpace
let environment: Record<string, string>

beforeAll(async () => {
  ;({ space } = await serversUnderTest('door'))
  const ports = { PORT: '0', ADMIN_PORT: '0', LOG_FORMAT: 'json', WAIT_FOR_CONSUMERS: 'false' }
  environment = { ...serversEnvironment(space), ...ports }
})
afterEach(killAll)
afterAll(async () => await space.drop())

const start = (env: Record<string, string>) => startWith('producer', { ...environment, ...env })
const line = (name: string, key: string) => `${name} read ${createHash('sha256').update(key).digest('hex')}`

const status = (port: string, path: string, headers: Record<string, string>): Promise<number | undefined> =>
  new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, path, headers, agent: false }, (response) => {
      response.resume()
      resolve(response.statusCode)
    }).on('error', reject)
  })

describe('the producer', () => {
  it.each([
    [{ HTTP_HOST: '0.0.0.0' }, 'HTTP_HOST=0.0.0.0 is not a loopback address: set API_KEYS, or API_KEYS=open'],
    [{ API_KEYS: '' }, 'API_KEYS: has no key in it'],
    [{ MEMORY_MAX_MIB: '100' }, 'producer may use 100 MiB of memory but needs 144'],
    [{ HTTP_BODY_MOST_BYTES: '100000000' }, 'HTTP_BODY_MOST_BYTES=100000000 does not fit into 256 MiB of memory'],
  ])('does not start with %j', async (env, sentence) => {
    const producer = start(env)
    expect(await producer.ended).toBe(CONFIGURATION)
    expect(producer.output()).toContain(sentence)
  })

  it('rejects foreign host names, foreign origins and cross-site requests on both ports if it has no keys', async () => {
    const producer = start({})
    const port = await logged(producer, LISTENING)
    const admin = await logged(producer, ADMIN)
    for (const [at, path] of [
      [port, '/healthcheck'],
      [admin, '/metrics'],
    ] as const) {
      expect(await status(at, path, { Host: 'localhost' })).toBe(200)
      expect(await status(at, path, { Host: 'attacker.example' })).toBe(403)
      expect(await status(at, path, { Host: 'localhost', Origin: 'http://attacker.example' })).toBe(403)
      expect(await status(at, path, { Host: 'localhost', 'Sec-Fetch-Site': 'cross-site' })).toBe(403)
    }
  })

  it('revokes a removed key even if another line is invalid, and reports the invalid line at /readyz and in the metrics', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'ims-door-'))
    const file = join(directory, 'keys')
    writeFileSync(file, `${line('stays', 'one')}\n${line('goes', 'two')}\n`)
    const producer = start({ API_KEYS_FILE: file })
    const port = await logged(producer, LISTENING)
    const admin = await logged(producer, ADMIN)
    const asked = (key: string) => status(port, '/healthcheck', { 'X-API-Key': key })
    expect([await asked('one'), await asked('two')]).toEqual([200, 200])
    writeFileSync(file, `${line('stays', 'one')}\nops admin no-hash\n`)
    await eventually(async () => expect(await asked('two')).toBe(401))
    expect(await asked('one')).toBe(200)
    await eventually(async () => {
      const ready = await fetch(`http://127.0.0.1:${admin}/readyz`)
      expect([ready.status, await ready.text()]).toEqual([200, expect.stringContaining('API_KEYS_FILE: line 2: ')])
      const metrics = await (await fetch(`http://127.0.0.1:${admin}/metrics`)).text()
      expect(metrics).toMatch(/^ims_api_keys_problems\{.*\} 1$/m)
      expect(metrics).toMatch(/^ims_api_keys_valid\{.*\} 1$/m)
    })
    rmSync(directory, { recursive: true })
    await eventually(async () => expect(await asked('one')).toBe(401))
  })
})
