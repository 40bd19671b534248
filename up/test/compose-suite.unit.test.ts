// The environment that `npm run up` passes to docker compose. On loopback, it exposes no more than `docker compose up`.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { identify } from 'testkit/processes/process-identity'
import { composeEnvironment, composeUp, suiteMode } from '../src/suite/compose-suite.ts'
import { type SuiteState, writeState } from '../src/suite/state.ts'

describe('the mode of a suite', () => {
  let folder = ''
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'ims-mode-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))
  const mode = () => suiteMode({}, folder, async () => true)

  it('is docker when an engine responds, but not while a suite on external servers runs in the directory', async () => {
    expect(await mode()).toBe('docker')
    const supervisor = identify(process.pid)
    if (supervisor === undefined) throw new Error('this process has no start time')
    const external = {
      phase: 'up',
      mode: 'external',
      http: 'h',
      rabbitmq: null,
      mysql: null,
      servers: [],
      services: [],
    } satisfies Omit<SuiteState, 'supervisor'>
    writeState(folder, { supervisor, ...external })
    expect(await mode()).toBe('local')
    writeState(folder, { supervisor: { pid: supervisor.pid, started: 'another time' }, ...external })
    expect(await mode()).toBe('docker')
  })
})

describe('npm run up with docker compose', () => {
  it.each([{}, { HTTP_HOST: '127.0.0.1' }, { HTTP_HOST: 'localhost' }])(
    'sets neither an address nor host names on loopback: %j',
    (environment) => {
      expect(composeEnvironment(environment)).toEqual({ ...environment, PORT: '5000' })
    },
  )

  it('allows any host name when not on loopback, unless HTTP_ALLOWED_HOSTS is set', () => {
    const HTTP_HOST = '0.0.0.0'
    expect(composeEnvironment({ HTTP_HOST })).toMatchObject({ HTTP_ADDRESS: HTTP_HOST, HTTP_ALLOWED_HOSTS: '*' })
    expect(composeEnvironment({ HTTP_HOST, HTTP_ALLOWED_HOSTS: 'shop' })).toMatchObject({ HTTP_ALLOWED_HOSTS: 'shop' })
  })

  it('fails when not on loopback and neither API keys nor API_KEYS=open is set', async () => {
    const starting = composeUp({ HTTP_HOST: '0.0.0.0' }, { detach: true, stop: AbortSignal.abort() })
    await expect(starting).rejects.toThrow('HTTP_HOST=0.0.0.0 is not a loopback address.')
  })
})
