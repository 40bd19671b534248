// `npm run break` freezes only processes of the suite in its directory, and heals them even if it is killed.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { eventually } from 'testkit'
import { identify, type ProcessIdentity } from 'testkit/processes/process-identity'
import { placeOf } from 'testkit/servers/place'
import { wantedBreak } from '../src/commands/break.ts'
import { writeState } from '../src/suite/state.ts'

const MAIN = join(import.meta.dirname, '..', 'src', 'main.ts')
let directory: string
let server: ChildProcess
let command: ChildProcess | undefined

const own = (pid: number | undefined): ProcessIdentity => {
  const identity = identify(pid ?? 0)
  if (identity === undefined) throw new Error('the process has ended')
  return identity
}
const isFrozen = () => /^State:\s+T/m.test(readFileSync(`/proc/${server.pid}/status`, 'utf8'))
const frozen = () => eventually(() => expect(isFrozen()).toBe(true))
const healed = () => eventually(() => expect(isFrozen()).toBe(false))

/** Starts the command. Resolves with its exit code and output when it has exited. */
function run(...args: string[]): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, [MAIN, 'break', ...args], {
    env: { PATH: process.env.PATH, IMS_UP_DIRECTORY: directory, IMS_SERVICES: 'local' },
  })
  command = child
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString()
    })
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, output })))
}

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'ims-break-'))
})
afterAll(() => rmSync(directory, { recursive: true }))
beforeEach(() => {
  server = spawn(process.execPath, ['--eval', 'setInterval(() => {}, 1_000)'], { stdio: 'ignore' })
  const running = { process: own(server.pid), state: 'running' as const, restarts: 0, lastEnd: '' }
  writeState(directory, {
    directory: placeOf(directory),
    supervisor: own(process.pid),
    phase: 'up',
    mode: 'local',
    http: 'http://127.0.0.1:5000',
    rabbitmq: null,
    mysql: null,
    servers: [{ name: 'MySQL', ...running }],
    services: [],
  })
})
afterEach(() => {
  command?.kill('SIGKILL')
  server.kill('SIGKILL')
})

const onLinux = process.platform === 'linux' ? describe : describe.skip

onLinux('npm run break', () => {
  it('heals after the given time, and prints commands to watch the effect', async () => {
    const ended = run('mysql', '3s')
    await frozen()
    expect(await ended).toMatchObject({ code: 0, output: expect.stringMatching(/npm run status[\s\S]*healed\n$/) })
    await healed()
  })

  it('prints its first line only when the process is frozen', async () => {
    const ended = run('mysql', '10m')
    const wasFrozen = await new Promise((resolve) => command?.stdout?.once('data', () => resolve(isFrozen())))
    expect(wasFrozen).toBe(true)
    command?.kill('SIGTERM')
    await ended
  })

  it.each(['SIGINT', 'SIGTERM'] as const)('heals at once on %s', async (signal) => {
    const ended = run('mysql', '10m')
    await frozen()
    command?.kill(signal)
    expect(await ended).toMatchObject({ code: 130 })
    await healed()
  })

  it('heals at once when the command is killed with SIGKILL', async () => {
    const ended = run('mysql', '10m')
    await frozen()
    command?.kill('SIGKILL')
    await ended
    await healed()
  })

  it('heals at once when the healing process is killed with SIGKILL', async () => {
    const ended = run('mysql', '10m')
    await frozen()
    const healers = execFileSync('pgrep', ['--parent', String(command?.pid)], { encoding: 'utf8' })
    process.kill(Number(healers.trim()), 'SIGKILL')
    expect(await ended).toMatchObject({ code: 1 })
    await healed()
  })

  it('freezes and heals repeatedly when a latency is given', async () => {
    const ended = run('network', '10m', '200ms-latency')
    await frozen()
    await healed()
    await frozen()
    command?.kill('SIGTERM')
    expect(await ended).toMatchObject({ code: 130, output: expect.stringContaining('responds up to 200 ms late') })
    await healed()
  })

  it('fails for a service that the suite has not started, and freezes nothing', async () => {
    expect(await run('consumer_two')).toMatchObject({
      code: 69,
      output: expect.stringContaining('consumer_two of this suite is not running'),
    })
    expect(isFrozen()).toBe(false)
  })

  it('rejects wrong arguments with its usage', async () => {
    expect(await run('mysql', '20')).toMatchObject({
      code: 64,
      output: expect.stringContaining('usage: npm run break'),
    })
    for (const args of [[], ['disk'], ['mysql', '0s'], ['mysql', '11m'], ['mysql', '1s', 'x-latency'], ['toString']])
      expect(wantedBreak(args)).toBeUndefined()
    expect(wantedBreak(['network', '2s-latency'])).toEqual({ target: 'network', forMs: 20_000, latencyMs: 2_000 })
  })
})
