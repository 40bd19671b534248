// A supervised service: restarts with backoff, stop with a timeout, and its log file.
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { identify, isAlive } from 'testkit/processes/process-identity'
import { boundLog } from '../src/suite/bound-log.ts'
import { type Exit, type ServiceSpec, startChild } from '../src/suite/child.ts'
import { LogFile } from '../src/suite/log-file.ts'
import { restartDelayMs, SupervisedProcess } from '../src/suite/supervised-process.ts'
import { eventually } from './fixtures/suite-under-test.ts'

const never = new AbortController().signal
const policy = { firstMs: 20, longestMs: 80, forgottenAfterMs: 60_000 }

let directory = ''
let service: SupervisedProcess | undefined
let deaths: { exit: Exit; restartInMs: number }[] = []
let lines: string[] = []

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ims-supervision-'))
  deaths = []
  lines = []
})
afterEach(async () => {
  await service?.stop(0, never)
  rmSync(directory, { recursive: true })
})

/** Supervises a service that runs this JavaScript. */
function supervise(script: string, restart = policy, command?: ServiceSpec['command']): SupervisedProcess {
  const spec: ServiceSpec = {
    name: 'fake',
    command: command ?? [process.execPath, '-e', script],
    cwd: directory,
    env: { PATH: process.env.PATH },
    adminPort: 1,
  }
  const launch = () => startChild(spec, join(directory, 'fake.log'), (line) => lines.push(line))
  service = new SupervisedProcess({ ...spec, launch }, restart, {
    changed: () => undefined,
    ended: (_, exit, restartInMs) => deaths.push({ exit, restartInMs }),
  })
  service.start()
  return service
}

describe('a service that dies', () => {
  it('is reported with its last lines and restarted, with pauses that grow up to a maximum', async () => {
    const { snapshot } = bound(supervise("console.log('a'); console.error('the reason'); process.exit(3)"))
    await eventually(() => deaths.length >= 5, 'five deaths')
    expect(deaths.slice(0, 5).map(({ restartInMs }) => restartInMs)).toEqual([20, 40, 80, 80, 80])
    expect(deaths[0]?.exit).toMatchObject({ code: 3, signal: null })
    expect([...(deaths[0]?.exit.lastLines ?? [])].sort()).toEqual(['a', 'the reason'])
    expect(snapshot()).toMatchObject({ lastEnd: 'died (exit code 3)' })
    expect(snapshot().restarts).toBeGreaterThanOrEqual(4)
  })

  it('is restarted after the shortest pause again, if it has run long enough', async () => {
    supervise('setTimeout(() => process.exit(1), 50)', { firstMs: 20, longestMs: 1_000, forgottenAfterMs: 40 })
    await eventually(() => deaths.length >= 3, 'three deaths')
    expect(deaths.slice(0, 3).map(({ restartInMs }) => restartInMs)).toEqual([20, 20, 20])
  })

  it('is restarted after the longest pause when its configuration is wrong', () => {
    expect(restartDelayMs(policy, 1, { code: 78 })).toBe(policy.longestMs)
    expect(restartDelayMs(policy, 1, { code: 1 })).toBe(policy.firstMs)
    expect(restartDelayMs(policy, 5_000, { code: 1 })).toBe(policy.longestMs)
  })

  it('is restarted as a new process after kill -9', async () => {
    const { snapshot } = bound(supervise('setInterval(() => {}, 1000)'))
    const first = snapshot().process
    process.kill(first?.pid ?? 0, 'SIGKILL')
    await eventually(() => snapshot().restarts === 1 && snapshot().process !== null, 'a restart')
    expect(snapshot()).toMatchObject({ state: 'running', lastEnd: 'died (killed by SIGKILL)' })
    expect(snapshot().process?.pid).not.toBe(first?.pid)
  })

  it('is reported as ended, not as died, when it exits with 0 after SIGTERM', async () => {
    const script = "process.on('SIGTERM', () => process.exit(0)); setInterval(() => {}, 1000); console.log('on')"
    const { snapshot } = bound(supervise(script, { ...policy, firstMs: 60_000, longestMs: 60_000 }))
    await eventually(() => lines.includes('on'), 'its first line')
    process.kill(snapshot().process?.pid ?? 0, 'SIGTERM')
    await eventually(() => deaths.length === 1, 'its end')
    expect(snapshot()).toMatchObject({ state: 'restarting', lastEnd: 'ended (exit code 0)' })
  })

  it('is also reported when its program does not exist', async () => {
    supervise('', policy, [join(directory, 'no-such-program')])
    await eventually(() => deaths.length >= 1, 'a death')
    expect(deaths[0]?.exit.lastLines.join()).toContain('ENOENT')
  })
})

describe('a service that is stopped', () => {
  it('can finish its work, and is not restarted', async () => {
    const script = "process.on('SIGTERM', () => setTimeout(() => { console.log('done'); process.exit(0) }, 50))"
    const supervised = supervise(`${script}; setInterval(() => {}, 1000); console.log('on')`)
    await eventually(() => lines.includes('on'), 'its first line')
    await supervised.stop(5_000, never)
    expect(lines).toEqual(['on', 'done'])
    expect(supervised.snapshot()).toMatchObject({ state: 'stopped', process: null })
    expect(deaths).toEqual([])
  })

  const stubborn = "process.on('SIGTERM', () => {}); setInterval(() => {}, 1000); console.log('on')"

  it('is killed after the timeout when it does not exit', async () => {
    const supervised = supervise(stubborn)
    await eventually(() => lines.includes('on'), 'its first line')
    const identity = supervised.snapshot().process
    const begunAt = Date.now()
    await supervised.stop(200, never)
    const tookMs = Date.now() - begunAt
    expect(tookMs).toBeGreaterThanOrEqual(190)
    expect(identity !== null && isAlive(identity)).toBe(false)
  })

  it('is killed without waiting for the timeout when `hurry` aborts', async () => {
    const supervised = supervise(stubborn)
    await eventually(() => lines.includes('on'), 'its first line')
    const hurry = new AbortController()
    const stopped = supervised.stop(60_000, hurry.signal)
    hurry.abort()
    await stopped
    expect(supervised.snapshot().state).toBe('stopped')
  })

  it('is not restarted if it was waiting for a restart', async () => {
    const supervised = supervise('process.exit(1)', { firstMs: 60_000, longestMs: 60_000, forgottenAfterMs: 60_000 })
    await eventually(() => supervised.snapshot().state === 'restarting', 'the wait')
    await supervised.stop(5_000, never)
    expect(supervised.snapshot()).toMatchObject({ state: 'stopped', restarts: 0 })
  })
})

describe('the log of a service', () => {
  it('is in a file that only the owner can read, and a character that arrives in two chunks is decoded correctly', async () => {
    const script =
      "const b = Buffer.from('Übung\\n'); process.stdout.write(b.subarray(0, 1)); setTimeout(() => process.stdout.write(b.subarray(1)), 50); setTimeout(() => {}, 10000)"
    supervise(script)
    await eventually(() => lines.length === 1, 'the line')
    expect(lines).toEqual(['Übung'])
    expect(readFileSync(join(directory, 'fake.log'), 'utf8')).toBe('Übung\n')
    expect(statSync(join(directory, 'fake.log')).mode & 0o777).toBe(0o600)
  })

  it('is continued in a new file when the file is too large, and one old file is kept', () => {
    const path = join(directory, 'rotating.log')
    const log = new LogFile(path, 10)
    for (const text of ['first 12345\n', 'second 12345\n', 'third\n']) log.append(Buffer.from(text))
    log.close()
    expect(readFileSync(path, 'utf8')).toBe('third\n')
    expect(readFileSync(`${path}.1`, 'utf8')).toBe('second 12345\n')
  })
})

describe('a service log that cannot be written', () => {
  it('loses lines, and reports how many when it can be written again', () => {
    const folder = join(directory, 'not there yet')
    const log = new LogFile(join(folder, 'service.log'))
    const line = Buffer.from(`${'x'.repeat(999)}\n`)
    for (let count = 0; count < 5_000; count += 1) log.append(line)
    mkdirSync(folder)
    log.append(Buffer.from('again\n'))
    log.close()
    const lines = readFileSync(join(folder, 'service.log'), 'utf8').split('\n')
    const kept = lines.filter((text) => text.startsWith('x')).length
    expect(kept).toBe(Math.floor(1_048_576 / line.length))
    expect(JSON.parse(lines.at(-3) ?? '')).toMatchObject({ level: 'warn', lines: 5_000 - kept, error: 'ENOENT' })
    expect(lines.at(-2)).toBe('again')
  })

  it('does not stop the supervision: the service is still restarted when it dies', async () => {
    symlinkSync('/dev/full', join(directory, 'fake.log'))
    supervise("console.log('on'); setInterval(() => console.log('x'.repeat(9999)), 1)")
    await eventually(() => lines.length > 200, 'more lines than are kept')
    process.kill(service?.snapshot().process?.pid ?? 0, 'SIGKILL')
    await eventually(() => lines.filter((text) => text === 'on').length === 2, 'a restart')
  })
})

describe('a log that other programs append to', () => {
  it('is moved to another file when it exceeds its limit, while the programs continue to write', () => {
    const path = join(directory, 'server.log')
    const descriptor = openSync(path, 'a')
    writeSync(descriptor, 'much of the old\n')
    boundLog(path, 10)
    writeSync(descriptor, 'new\n')
    boundLog(path, 10)
    closeSync(descriptor)
    expect(readFileSync(path, 'utf8')).toBe('new\n')
    expect(readFileSync(`${path}.1`, 'utf8')).toBe('much of the old\n')
    boundLog(join(directory, 'nowhere'), 10)
  })

  it('is truncated even when the disk is too full for the copy', () => {
    const path = join(directory, 'server.log')
    writeFileSync(path, 'much of the old\n')
    symlinkSync('/dev/full', `${path}.1`)
    boundLog(path, 10)
    expect(readFileSync(path, 'utf8')).toBe('')
  })
})

describe('the identity of a process', () => {
  it('differs from that of another process with the same pid', () => {
    const me = identify(process.pid)
    expect(me !== undefined && isAlive(me)).toBe(true)
    expect(isAlive({ pid: process.pid, started: 'at another time' })).toBe(false)
    expect(identify(2 ** 30)).toBeUndefined()
  })
})

/** The service's snapshot as a function. */
function bound(supervised: SupervisedProcess) {
  return { snapshot: () => supervised.snapshot() }
}
