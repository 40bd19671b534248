// `up` of a fake suite, as processes: start, stop, a second `up`, two at the same time, kill -9, failures, and the background mode.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { isAlive } from 'testkit/processes/process-identity'
import { startInBackground } from '../src/suite/background.ts'
import type { UpEvent } from '../src/suite/progress.ts'
import { readState } from '../src/suite/state.ts'
import { STATUS_EXIT } from '../src/suite/status-report.ts'
import type { FakeOptions } from './fixtures/fake-suite.ts'
import { ctrlC, eventually, SuiteUnderTest } from './fixtures/suite-under-test.ts'

/** A service starts faster than this, even on a busy machine. */
const SOON_MS = 6_000
const BACKGROUND = fileURLToPath(new URL('fixtures/fake-background.ts', import.meta.url))

let suite: SuiteUnderTest
beforeEach(async () => {
  suite = await SuiteUnderTest.make()
})
afterEach(() => suite.discard())

describe('up', () => {
  it('starts all processes, and on Ctrl-C stops `front` first, then the other services, then the servers', async () => {
    const run = await suite.upAndReady()
    const steps = [...run.output.matchAll(/^✓ ([^:]+):/gm)].map(([, step]) => step)
    expect(steps).toEqual(['ports', 'RabbitMQ and MySQL', 'database schema', 'one', 'two', 'front', 'health check'])
    expect(run.output).toContain('one   | ')
    expect(run.output).not.toMatch(/rabbit-secret|mysql-secret/)
    expect(run.output).not.toContain('\u001b')
    ctrlC(run)
    // npm forwards the signal that the terminal has already sent. It must not count as a second Ctrl-C.
    ctrlC(run)
    expect(await run.code).toBe(0)
    const order = suite.order()
    expect(order[0]).toBe('servers started')
    expect(order.slice(4, 6)).toEqual(['front asked to stop', 'front stopped'])
    expect(order.slice(6, 10).sort()).toEqual(['one asked to stop', 'one stopped', 'two asked to stop', 'two stopped'])
    expect(order.slice(10)).toEqual(['servers stopped'])
    expect(readState(suite.options.directory)).toBeUndefined()
  })

  it('keeps its state in files that only the owner can read, and no password on a command line', async () => {
    await suite.upAndReady()
    expect(statSync(suite.options.directory).mode & 0o777).toBe(0o700)
    expect(statSync(join(suite.options.directory, 'state.json')).mode & 0o777).toBe(0o600)
    expect(commandLineOf(suite.processOf('one').pid)).not.toContain('secret')
  })

  it('kills the services on the second Ctrl-C', async () => {
    const run = await suite.upAndReady({ environment: { IGNORE_SIGTERM: 'yes' }, stopMs: 60_000 })
    ctrlC(run)
    // Signals within 500 ms count as one.
    await eventually(() => suite.order().includes('front asked to stop'), 'the first Ctrl-C')
    await sleep(1_000)
    ctrlC(run)
    expect(await run.code).toBe(0)
    expect(suite.order().at(-1)).toBe('servers stopped')
  })

  it('reports that the suite is already up', async () => {
    const first = await suite.upAndReady()
    const second = suite.up()
    expect(await second.code).toBe(0)
    expect(second.output).toContain(`already up: http://127.0.0.1:${suite.options.ports[2]}`)
    expect(second.output).toContain(`process ${first.process.pid}`)
    expect((await suite.status()).exitCode).toBe(STATUS_EXIT.ready)
  })

  it('starts one suite when it runs twice at the same time; the second process reports that it waits', async () => {
    const runs = [suite.up({ startMs: 500 }), suite.up({ startMs: 500 })]
    await eventually(() => runs.some(({ output }) => output.includes('already up')), 'the one that waits')
    const started = () => runs.filter(({ output }) => output.includes('The suite is up.'))
    await eventually(() => started().length > 0, 'the one that starts')
    expect(started()).toHaveLength(1)
    expect(runs.filter(({ output }) => output.includes('is already starting the suite'))).toHaveLength(1)
    expect(suite.order().filter((line) => line === 'servers started')).toHaveLength(1)
  })

  it('first stops the services of a killed supervisor, then starts the suite', async () => {
    const first = await suite.upAndReady()
    const orphans = ['one', 'two', 'front'].map((name) => suite.processOf(name))
    first.process.kill('SIGKILL')
    await first.code
    expect(orphans.every(isAlive)).toBe(true)
    const left = await suite.status()
    expect(left.exitCode).toBe(STATUS_EXIT.degraded)
    expect(left.summary).toContain('The supervisor has exited')
    const second = await suite.upAndReady()
    expect(orphans.some(isAlive)).toBe(false)
    expect(second.output).toContain(`one (process ${orphans[0]?.pid}, left over from an earlier run) stopped`)
    expect(suite.order().slice(4, 6)).toEqual(['front asked to stop', 'front stopped'])
  })

  it('restarts a service that was killed, and reports it', async () => {
    const run = await suite.upAndReady()
    await killAndRestartTwo()
    const isReported = () => run.output.includes('! two died (killed by SIGKILL); restarting it in 0.1 s')
    await eventually(isReported, 'the line about its death')
  })
})

describe('up whose output cannot be written', () => {
  const isUp = async () => (await suite.status()).exitCode === STATUS_EXIT.ready

  it('keeps running while its pipe is not read, and reports the number of lost lines when reading resumes', async () => {
    const run = suite.up({ environment: { TALKATIVE: 'yes' } })
    await eventually(isUp, 'up')
    run.process.stdout?.pause()
    await sleep(2_000)
    await killAndRestartTwo()
    run.process.stdout?.resume()
    await eventually(() => /! \d+ lines were lost here/.test(run.output), 'the loss')
    ctrlC(run)
    expect(await run.code).toBe(0)
  })

  it('keeps running when the reader of its output has exited', async () => {
    const run = suite.up({ environment: { TALKATIVE: 'yes' } })
    await eventually(isUp, 'up')
    run.process.stdout?.destroy()
    await killAndRestartTwo()
    ctrlC(run)
    expect(await run.code).toBe(0)
  })
})

describe('up that fails', () => {
  it('starts nothing when two services have the same port', async () => {
    const [first = 0, , front = 0] = suite.options.ports
    const run = suite.up({ ports: [first, front, front] })
    expect(await run.code).toBe(1)
    expect(run.output).toContain(`✗ ports failed after`)
    expect(run.output).toContain(`What to do: Set ADMIN_PORT_BASE.`)
    expect(suite.order()).toEqual([])
    expect((await suite.status()).exitCode).toBe(STATUS_EXIT.notRunning)
  })

  it('prints the last lines of a service with a wrong configuration, and stops all processes', async () => {
    const run = suite.up({ environmentOf: { two: { EXIT_CODE: '78' } } })
    expect(await run.code).toBe(1)
    expect(run.output).toMatch(
      /✗ two failed[^✗]*exit code 78: its configuration is wrong\n\s+RABBITMQ_HOST: must not be empty/,
    )
    expect(suite.order().at(-1)).toBe('servers stopped')
    expect((await suite.status()).exitCode).toBe(STATUS_EXIT.notRunning)
  })

  it('prints the reason when a service does not become ready', async () => {
    const run = suite.up({ environmentOf: { two: { NOT_READY: 'no connection to the broker' } }, readyMs: SOON_MS })
    expect(await run.code).toBe(1)
    expect(run.output).toContain('Why: after 6 s: two is not ready: no connection to the broker')
  })

  it.each([
    'connection for publishing is not open: broker:5672: 403 ACCESS_REFUSED - Login was refused',
    'connection for publishing is not open: broker:5672: 530 NOT_ALLOWED - vhost nope not found',
    "waiting for MySQL on db:3306: Access denied for user 'ims'@'%'",
  ])('does not wait for the timeout when waiting cannot help: %s', async (reason) => {
    const run = suite.up({ environmentOf: { two: { NOT_READY: reason } }, readyMs: 600_000 })
    expect(await run.code).toBe(1)
    expect(run.output).toContain(`Why: ${reason}`)
  })

  it('prints how a service dies when it dies repeatedly', async () => {
    const run = suite.up({ environmentOf: { two: { EXIT_CODE: '70' } }, readyMs: SOON_MS })
    expect(await run.code).toBe(1)
    expect(run.output).toMatch(/Why: after 6 s: two is not ready: it died \(exit code 70\): /)
  })
})

describe('up in the background', () => {
  async function detached(more: Partial<FakeOptions> = {}): Promise<{ code: number; events: UpEvent[] }> {
    const events: UpEvent[] = []
    const never = new AbortController().signal
    process.env.FAKE_SUITE = JSON.stringify({ ...suite.options, ...more })
    const report = (event: UpEvent) => events.push(event)
    const request = { stop: never, hurry: never }
    const code = await startInBackground(BACKGROUND, suite.options.directory, report, request)
    return { code, events }
  }

  it('returns when all services are ready; `down` stops them in order and prints each step', async () => {
    const { code, events } = await detached()
    expect(code).toBe(0)
    expect(events.filter(({ kind }) => kind === 'done')).toHaveLength(7)
    expect((await suite.status()).exitCode).toBe(STATUS_EXIT.ready)
    expect(existsSync(join(suite.options.directory, 'logs', 'front.log'))).toBe(true)
    const { code: downCode, notes } = await suite.down()
    expect(downCode).toBe(0)
    expect([notes[0], ...notes.slice(1, 3).sort(), ...notes.slice(3)]).toEqual([
      'front stopped',
      'one stopped',
      'two stopped',
      'RabbitMQ and MySQL stopped',
    ])
    expect(suite.order().at(-1)).toBe('servers stopped')
  })

  it('keeps running when no log can be written, and restarts dead processes', async () => {
    const logs = join(suite.options.directory, 'logs')
    mkdirSync(logs)
    for (const name of ['up', 'one', 'two', 'front']) symlinkSync('/dev/full', join(logs, `${name}.log`))
    expect((await detached({ environment: { TALKATIVE: 'yes' } })).code).toBe(0)
    await killAndRestartTwo()
    expect((await suite.down()).code).toBe(0)
  })

  it('reports the failed step, and leaves no process running', async () => {
    const { code, events } = await detached({ environmentOf: { front: { EXIT_CODE: '78' } } })
    expect(code).toBe(1)
    expect(events.find(({ kind }) => kind === 'failed')).toMatchObject({ step: 'front' })
    expect((await suite.status()).exitCode).toBe(STATUS_EXIT.notRunning)
  })
})

/** Kills the service `two` of a running suite. Resolves when all services are ready again. */
async function killAndRestartTwo(): Promise<void> {
  process.kill(suite.processOf('two').pid, 'SIGKILL')
  await eventually(async () => {
    const { exitCode, remarks } = await suite.status()
    return exitCode === STATUS_EXIT.ready && remarks[1]?.restarts === 1
  }, 'ready again')
}

function commandLineOf(pid: number): string {
  if (process.platform === 'linux') return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  return execFileSync('ps', ['-o', 'args=', '-p', String(pid)], { encoding: 'utf8' })
}
