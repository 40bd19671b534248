// The configuration of the producer: defaults, access and limits.
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { seedContracts } from '@ims/messaging'
import { InvalidEnvironment, MemoryBudget, parseEnvironment } from '@ims/runtime'
import { afterAll, describe, expect, it } from '@jest/globals'
import { httpEnvironment, mustBeLocked } from '../src/config.ts'
import { limitsOf } from '../src/http/limits.ts'

describe('the environment of the producer', () => {
  it('has the defaults 127.0.0.1:5000, a wait for all four consumers, and bodies of up to 100 KiB', () => {
    const config = httpEnvironment.parse({})
    expect(config).toMatchObject({ host: '127.0.0.1', port: 5000, waitFor: seedContracts, bodyMaxBytes: 102_400 })
    expect(httpEnvironment.parse({ WAIT_FOR_CONSUMERS: 'false' }).waitFor).toEqual([])
  })

  it.each([
    ['PORT', '12x'],
    ['PORT', '65536'],
    ['HTTP_HOST', ''],
    ['WAIT_FOR_CONSUMERS', 'yes'],
    ['RPC_TIMEOUT_MS', '0'],
    ['LIST_PAGE_ITEMS', '5001'],
    ['PREFER_WAIT_MOST_S', '-1'],
  ])('rejects %s=%s', (name, value) => {
    const { error } = httpEnvironment.safeParse({ [name]: value })
    expect(error?.issues.map(({ path }) => path)).toEqual([[name]])
  })
})

const KEY_LINE = `shop read ${createHash('sha256').update('key').digest('hex')}`
const MIB = 1_048_576

describe('access to the producer', () => {
  const parse = (env: NodeJS.ProcessEnv) => parseEnvironment({ http: httpEnvironment }, env).http
  const directory = mkdtempSync(join(tmpdir(), 'ims-keys-'))
  afterAll(() => rmSync(directory, { recursive: true }))
  const fileWith = (text: string) => {
    const file = join(directory, 'keys')
    writeFileSync(file, text)
    return file
  }
  const problemsOf = (env: NodeJS.ProcessEnv) => {
    try {
      mustBeLocked(parse(env))
      return []
    } catch (error) {
      if (error instanceof InvalidEnvironment) return error.problems
      throw error
    }
  }

  it.each(['', ' ', '# none\n'])(
    'cannot be configured with API_KEYS=%j, which is neither a list nor "open"',
    (API_KEYS) => {
      expect(problemsOf({ API_KEYS })).toEqual([expect.stringContaining('API_KEYS: has no key in it')])
    },
  )

  it('cannot be configured with an empty API_KEYS_FILE', () => {
    expect(problemsOf({ API_KEYS_FILE: fileWith('') })).toEqual([expect.stringContaining('API_KEYS: has no key in it')])
  })

  it.each(['0.0.0.0', '::', '10.0.0.1'])('needs keys or API_KEYS=open on %s', (HTTP_HOST) => {
    expect(problemsOf({ HTTP_HOST })).toEqual([
      `HTTP_HOST=${HTTP_HOST} is not a loopback address: set API_KEYS, or API_KEYS=open to allow everybody`,
    ])
    expect(problemsOf({ HTTP_HOST, API_KEYS: 'open' })).toEqual([])
    expect(problemsOf({ HTTP_HOST, API_KEYS: KEY_LINE })).toEqual([])
  })

  it.each(['127.0.0.1', '127.9.9.9', '::1', 'localhost'])('may be open without API_KEYS on %s', (HTTP_HOST) => {
    expect(problemsOf({ HTTP_HOST })).toEqual([])
  })

  it('takes the keys from API_KEYS_FILE if API_KEYS is open, empty or unset, and rejects two lists of keys', () => {
    const API_KEYS_FILE = fileWith(KEY_LINE)
    for (const API_KEYS of ['open', '', undefined])
      expect(parse({ API_KEYS_FILE, ...(API_KEYS === undefined ? {} : { API_KEYS }) }).apiKeys).toHaveLength(1)
    expect(problemsOf({ API_KEYS_FILE, API_KEYS: KEY_LINE })).toEqual([expect.stringContaining('choose one')])
  })

  it('is limited to local host names and HTTP_ALLOWED_HOSTS, but not with keys or API_KEYS=open', () => {
    expect([...(parse({}).servedHosts ?? [])]).toEqual(['localhost', '127.0.0.1', '[::1]'])
    expect(parse({ HTTP_ALLOWED_HOSTS: 'Shop.example, b' }).servedHosts).toContain('shop.example')
    expect(parse({ API_KEYS: KEY_LINE }).servedHosts).toBeUndefined()
    expect(parse({ API_KEYS: 'open', HTTP_HOST: '0.0.0.0' }).servedHosts).toBeUndefined()
  })
})

describe('the limits of the producer', () => {
  const limits = (env: Record<string, string>, mib = 256) =>
    limitsOf(httpEnvironment.parse(env), new MemoryBudget('producer', mib * MIB))

  it('are derived from its memory', () => {
    const [small, large] = [limits({}), limits({}, 1_024)]
    expect(small.connectionsMax).toBeGreaterThan(1_000)
    for (const name of ['connectionsMax', 'heldMaxBytes', 'requestsMax', 'waitsMax'] as const)
      expect(large[name]).toBeGreaterThan(6 * small[name])
    expect(small.requestsMaxEach).toBeLessThan(small.requestsMax)
  })

  it.each([
    [
      { HTTP_CONNECTIONS_MOST: '10000' },
      /^HTTP_CONNECTIONS_MOST=10000 does not fit into 256 MiB of memory: set at most \d+, /,
    ],
    [
      { HTTP_BODY_MOST_BYTES: '10000000' },
      /^HTTP_BODY_MOST_BYTES=10000000 does not fit into 256 MiB of memory: set at most \d+, /,
    ],
  ])('reject a value that does not fit into memory: %j', (env, sentence) => {
    expect(() => limits(env)).toThrow(sentence)
    expect(() => limits(env, 4_096)).not.toThrow()
  })
})
