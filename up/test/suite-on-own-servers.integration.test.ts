// The real suite on its own RabbitMQ and MySQL: with special characters in its path, moved, copied, with killed servers, and with a
// killed supervisor.
import { spawn } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { ownSuite } from 'testkit'
import { identify, isAlive, type ProcessIdentity } from 'testkit/processes/process-identity'
import { processesStartedFor } from 'testkit/processes/started-for'
import { hasServerPrograms } from 'testkit/servers/private-mysql'
import { readState, writeState } from 'testkit/servers/state'
import { MAIN, runMain } from './fixtures/run-main.ts'
import { statusJson } from './fixtures/status-json.ts'
import { eventually } from './fixtures/suite-under-test.ts'

const suite = hasServerPrograms() ? describe : describe.skip

let root: string
let folder: string
let environment: NodeJS.ProcessEnv

const servers = () => join(folder, 'up', 'servers')
const startedHere = () =>
  [join(folder, 'up'), join(servers(), 'rabbitmq'), join(servers(), 'mysql')].flatMap(processesStartedFor)

const inFolder = () => ({ ...environment, IMS_UP_DIRECTORY: join(folder, 'up') })
const ims = async (...args: string[]) => await runMain(inFolder(), ...args)

const up = async () => {
  const { code, output } = await ims('up', '--detach')
  expect({ code, output }).toMatchObject({ code: 0, output: expect.stringContaining('The suite is up.') })
}
const status = async () => statusJson.parse(JSON.parse((await ims('status', '--json')).output))
const url = (path: string) => `http://127.0.0.1:${environment.PORT}${path}`

async function create(sku: string): Promise<void> {
  const answer = await fetch(url('/create_item'), {
    method: 'POST',
    headers: { 'content-type': 'application/json', prefer: 'wait=20' },
    body: JSON.stringify({ sku, name: 'n', label: 'l', price: 1, quantity: 1 }),
  })
  expect(answer.status).toBe(201)
}
async function listed(): Promise<unknown> {
  return await (await fetch(url('/order_processing'))).json()
}
const item = (sku: string) => expect.objectContaining({ sku })

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'ims-own-'))
  folder = join(root, "A café's $HOME (1)")
  mkdirSync(folder)
  // The directory is left out, because the tests use several directories.
  const { IMS_UP_DIRECTORY: _, ...others } = await ownSuite('')
  environment = others
})
afterAll(async () => {
  await ims('down', '--volumes')
  rmSync(root, { recursive: true, force: true })
})

suite('the suite in a folder with special characters in its name', () => {
  it('starts, even if an earlier `up` was killed while it created the data directory', async () => {
    await killedWhen(() => processesStartedFor(join(servers(), 'mysql')).length > 0)
    await up()
    await create('before')
    expect((await ims('down')).code).toBe(0)
    expect(startedHere()).toEqual([])
  })

  it('finds its data after the folder was moved', async () => {
    const moved = join(root, 'Привет 2')
    renameSync(folder, moved)
    folder = moved
    await up()
    expect(await listed()).toEqual([item('before')])
  })

  it('runs independently of a copy of its folder', async () => {
    const original = folder
    const pids = startedHere().map(({ pid }) => pid)
    await ims('down')
    folder = join(root, 'copy')
    cpSync(original, folder, { recursive: true })
    const copy = folder
    folder = original
    await up()
    folder = copy
    expect((await ims('status')).code).toBe(3)
    expect((await ims('down', '--volumes')).code).toBe(0)
    folder = original
    expect(pids.length).toBeGreaterThan(0)
    expect((await ims('status')).code).toBe(0)
    expect(await listed()).toEqual([item('before')])
  })
})

suite('a server of the suite that is killed', () => {
  it.each(['MySQL', 'RabbitMQ'])('is restarted with its data, and its death is logged: %s', async (name) => {
    const pidOf = async () => (await status()).servers.find((server) => server.name === name)?.pid ?? 0
    const killed = identify(await pidOf())
    if (killed === undefined) throw new Error(`${name} has no process`)
    process.kill(killed.pid, 'SIGKILL')
    await eventually(() => !isAlive(killed), 'its exit')
    const again = await ims('up', '--detach')
    expect(again).toMatchObject({ code: 0, output: expect.stringContaining('already up') })
    // MySQL may run again before `up` checks it.
    if (name === 'RabbitMQ') expect(again.output).toMatch(/RabbitMQ is .*waiting for it.*already up/s)
    expect(await pidOf()).not.toBe(killed.pid)
    expect(await listed()).toEqual([item('before')])
    const log = readFileSync(join(folder, 'up', 'logs', 'up.log'), 'utf8')
    expect(log).toMatch(new RegExp(`^\\d{4}-\\d\\d-\\d\\dT[\\d:.]+Z ! ${name} died`, 'm'))
  })
})

suite('servers that are not in the state file because `up` was killed', () => {
  it('are found and stopped by the next `up`, which starts them with their data', async () => {
    const orphans = await killedAtServers()
    // The state after a start that was killed after the spawn, before the pids were recorded.
    const state = readState(servers())
    if (state?.mode !== 'local') throw new Error('no local servers')
    const { process: _broker, epmd: _epmd, ...rabbitmq } = state.rabbitmq
    const { process: _server, ...mysql } = state.mysql
    writeState(servers(), { ...state, rabbitmq, mysql })
    expect(orphans.filter(isAlive).length).toBeGreaterThan(2)
    await up()
    expect(orphans.filter(isAlive)).toEqual([])
    expect(await listed()).toEqual([item('before')])
  })

  it('are found and stopped by `down`', async () => {
    const orphans = await killedAtServers()
    const state = readState(servers())
    if (state?.mode !== 'local') throw new Error('no local servers')
    const { process: _broker, epmd: _epmd, ...rabbitmq } = state.rabbitmq
    writeState(servers(), { ...state, rabbitmq })
    expect((await ims('down', '--volumes')).code).toBe(0)
    expect(orphans.filter(isAlive)).toEqual([])
    expect(existsSync(join(servers(), 'mysql'))).toBe(false)
  })
})

/** Kills the supervisor of the running suite. Resolves with the processes that it leaves running. */
async function killedAtServers(): Promise<ProcessIdentity[]> {
  const { supervisor } = JSON.parse(readFileSync(join(folder, 'up', 'state.json'), 'utf8'))
  process.kill(supervisor.pid, 'SIGKILL')
  await eventually(() => !isAlive(supervisor), 'the end of the supervisor')
  return startedHere()
}

/** Runs `up`, and kills only this process as soon as `condition` holds. */
async function killedWhen(condition: () => boolean): Promise<void> {
  const run = spawn(process.execPath, [MAIN, 'up'], { env: inFolder(), stdio: 'ignore' })
  const ended = new Promise((resolve) => run.once('exit', resolve))
  while (!condition() && run.exitCode === null) await sleep(5)
  run.kill('SIGKILL')
  await ended
  expect(run.signalCode).toBe('SIGKILL')
}
