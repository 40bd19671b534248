// Mode selection, policies by RabbitMQ version, waiting with a timeout, and the state file.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { z } from 'zod'
import { waitFor } from '../src/servers/deadline.ts'
import { newVhost, policiesFor } from '../src/servers/definitions.ts'
import { externalServers } from '../src/servers/external.ts'
import { chooseTestMode, modeByEnvironment } from '../src/servers/mode.ts'
import { ServersUnavailable } from '../src/servers/servers.ts'
import { readState, writeState } from '../src/servers/state.ts'

const HOSTS = { RABBITMQ_HOST: 'rabbit', MYSQL_HOST: 'mysql' }

let directory: string
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'ims-mode-'))
})
afterAll(() => rmSync(directory, { recursive: true }))

describe('the mode', () => {
  it('is external when both hosts are set, and undefined when only one is set', () => {
    expect(modeByEnvironment(HOSTS)).toBe('external')
    expect(modeByEnvironment({ RABBITMQ_HOST: 'rabbit', MYSQL_HOST_FILE: '/run/mysql-host' })).toBe('external')
    expect(modeByEnvironment({ RABBITMQ_HOST: 'rabbit' })).toBeUndefined()
    expect(modeByEnvironment({ ...HOSTS, MYSQL_HOST: '' })).toBeUndefined()
  })

  it('is the value of IMS_SERVICES when that is set', () => {
    expect(modeByEnvironment({ ...HOSTS, IMS_SERVICES: 'local' })).toBe('local')
    expect(modeByEnvironment({ IMS_SERVICES: 'docker' })).toBe('docker')
  })

  it('is rejected when IMS_SERVICES has another value, and the error names that value', () => {
    expect(() => modeByEnvironment({ IMS_SERVICES: 'podman' })).toThrow(
      'IMS_SERVICES is "podman", but must be one of external, docker, local, or not set',
    )
  })

  it('is never external for tests', async () => {
    await expect(chooseTestMode({ IMS_SERVICES: 'external' })).rejects.toThrow(ServersUnavailable)
    expect(['docker', 'local']).toContain(await chooseTestMode(HOSTS))
  })
})

describe('external servers', () => {
  it('take a password from a file, as the services do', async () => {
    const RABBITMQ_PASSWORD_FILE = '/no/such/file'
    await expect(externalServers({ ...HOSTS, RABBITMQ_PASSWORD_FILE })).rejects.toThrow(
      'RABBITMQ_PASSWORD_FILE: cannot read /no/such/file',
    )
  })

  it('are rejected with the name of a wrong variable', async () => {
    await expect(externalServers({ ...HOSTS, MYSQL_PORT: '33o6' })).rejects.toThrow(
      'MYSQL_PORT: must be a whole number',
    )
  })
})

describe('policies', () => {
  const parsed = (json: string) =>
    z
      .object({ policies: z.array(z.object({ vhost: z.string(), pattern: z.string(), 'apply-to': z.string() })) })
      .parse(JSON.parse(json)).policies

  it('for quorum queues are in the definitions for RabbitMQ 4 only, because older versions reject the whole list', () => {
    const kinds = (version: string) => parsed(policiesFor('/', version)).map((policy) => policy['apply-to'])
    expect(kinds('3.10.8')).toEqual(['queues', 'queues', 'queues', 'queues'])
    expect(kinds('4.3.6').filter((kind) => kind === 'quorum_queues')).toHaveLength(8)
  })

  it('belong to the requested vhost', () => {
    expect(new Set(parsed(newVhost('mine', 'ims', '4.0.5')).map(({ vhost }) => vhost))).toEqual(new Set(['mine']))
  })
})

describe('waiting', () => {
  it('fails with the last lines of the log on timeout', async () => {
    const log = join(directory, 'log')
    writeFileSync(log, Array.from({ length: 40 }, (_, index) => `line ${index}`).join('\n'))
    const wait = waitFor({ what: 'start', withinMs: 150, logs: [log], attempt: async () => undefined })
    await expect(wait).rejects.toThrow(
      new RegExp(`start: timed out after 0.15 s\nThe end of ${log}:\n  line 25\n[^]*line 39$`),
    )
  })

  it('fails at once when there is a reason to stop waiting', async () => {
    const began = performance.now()
    const attempt = async () => undefined
    const wait = waitFor({ what: 'start', withinMs: 60_000, logs: [], attempt, hopeless: () => 'it has exited' })
    await expect(wait).rejects.toThrow('start: it has exited')
    expect(performance.now() - began).toBeLessThan(30_000)
  })
})

describe('the state of servers', () => {
  it('is undefined before the first start', () => {
    expect(readState(directory)).toBeUndefined()
  })

  it('can be written and read back', () => {
    const common = { port: 20_001, password: 'p', version: '4', prepared: true }
    const state = {
      mode: 'docker' as const,
      rabbitmq: { ...common, container: 'r', username: 'ims' },
      mysql: { ...common, container: 'm', user: 'ims', rootPassword: 'q', database: 'ims' },
    }
    writeState(directory, state)
    expect(readState(directory)).toEqual(state)
  })

  it('is rejected, with the path of its file, when it is not valid', () => {
    writeFileSync(join(directory, 'servers.json'), '{"mode":"cloud"}')
    expect(() => readState(directory)).toThrow(join(directory, 'servers.json'))
  })
})
