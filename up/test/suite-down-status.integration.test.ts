// `down` and `status` of a fake suite: running, stopped, or left running by a killed supervisor.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { STATUS_EXIT } from '../src/suite/status-report.ts'
import { statusTable } from '../src/suite/status-table.ts'
import { eventually, SuiteUnderTest } from './fixtures/suite-under-test.ts'

let suite: SuiteUnderTest
beforeEach(async () => {
  suite = await SuiteUnderTest.make()
})
afterEach(() => suite.discard())

describe('down', () => {
  it('reports that nothing is running', async () => {
    expect(await suite.down()).toEqual({ code: 0, notes: ['Nothing is running.'] })
    expect(suite.order()).toEqual([])
  })

  it('deletes the data with --volumes, whether the suite runs or not', async () => {
    await suite.upAndReady()
    expect((await suite.down(true)).notes.at(-1)).toBe('RabbitMQ and MySQL: data deleted')
    expect(suite.order().slice(-2)).toEqual(['servers stopped', 'servers deleted'])
    expect(await suite.down(true)).toEqual({
      code: 0,
      notes: ['Nothing is running.', 'RabbitMQ and MySQL: data deleted'],
    })
  })

  it('never stops external servers or deletes their data', async () => {
    const external = { mode: 'external' }
    await suite.upAndReady(external)
    const { notes } = await suite.down(true, external)
    expect(notes.at(-1)).toContain('are external')
    expect(suite.order().filter((line) => line.startsWith('servers'))).toEqual(['servers started'])
  })

  it('stops the services of a killed supervisor, and kills those that do not stop', async () => {
    const run = await suite.upAndReady({ environmentOf: { one: { IGNORE_SIGTERM: 'yes' } } })
    run.process.kill('SIGKILL')
    await run.code
    const { notes } = await suite.down(false, { stopMs: 300 })
    expect(notes.find((note) => note.startsWith('one'))).toContain('killed because it did not stop within 0.3 s')
    expect(notes.at(-1)).toBe('RabbitMQ and MySQL stopped')
    expect((await suite.status()).exitCode).toBe(STATUS_EXIT.notRunning)
  })
})

describe('status', () => {
  it('reports the addresses and all services when all are ready', async () => {
    await suite.upAndReady()
    const { report } = await suite.status()
    const [one = 0, two = 0, front = 0] = suite.options.ports
    expect(report).toEqual({
      http: `http://127.0.0.1:${front}`,
      rabbitmq: { host: '127.0.0.1', port: 5672, username: 'ims', password: 'rabbit-secret', vhost: '/' },
      mysql: { host: '127.0.0.1', port: 3306, user: 'ims', password: 'mysql-secret', database: 'inventory' },
      servers: [],
      services: [
        { name: 'one', pid: suite.processOf('one').pid, admin: one, state: 'ready' },
        { name: 'two', pid: suite.processOf('two').pid, admin: two, state: 'ready' },
        { name: 'front', pid: suite.processOf('front').pid, admin: front, state: 'ready' },
      ],
    })
  })

  it('shows the reason of a service that is not ready, and that a dead service is restarting', async () => {
    const run = suite.up({ environmentOf: { one: { NOT_READY: 'no connection to MySQL' }, two: { EXIT_CODE: '1' } } })
    await eventually(async () => (await suite.status()).report.services[0]?.state === 'not-ready', 'one not ready')
    await eventually(async () => (await suite.status()).report.services[1]?.state === 'restarting', 'two restarting')
    const status = await suite.status()
    expect(status.exitCode).toBe(STATUS_EXIT.degraded)
    expect(status.report.services[1]).toMatchObject({ pid: null })
    const table = statusTable(status)
    expect(table).toMatch(/^one +not-ready +\d+ +127\.0\.0\.1:\d+ +0 +no connection to MySQL$/m)
    expect(table).not.toContain('secret')
    run.process.kill('SIGTERM')
    expect(await run.code).toBe(130)
  })

  it('reports all services as stopped when nothing is running', async () => {
    const { report, exitCode } = await suite.status()
    expect(exitCode).toBe(STATUS_EXIT.notRunning)
    expect(report).toMatchObject({ http: null, rabbitmq: null, mysql: null })
    expect(report.services.map(({ state }) => state)).toEqual(['stopped', 'stopped', 'stopped'])
  })
})
