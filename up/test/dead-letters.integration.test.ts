// `npm run dead-letters` and `npm run message` use the broker of the running suite.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Broker, contracts, openBroker, rabbitmqEnvironment } from '@ims/messaging'
import { quietService } from '@ims/messaging/testing'
import { afterAll, beforeAll, expect, it } from '@jest/globals'
import { identify, type ProcessIdentity } from 'testkit/processes/process-identity'
import { runToEnd } from 'testkit/processes/start'
import type { TestSpace } from 'testkit/servers/test-space'
import { serversEnvironment } from 'testkit/servers-environment'
import { serversUnderTest } from 'testkit/under-test'
import { writeState } from '../src/suite/state.ts'

const MAIN = join(import.meta.dirname, '..', 'src', 'main.ts')

let space: TestSpace
let broker: Broker
let directory: string

beforeAll(async () => {
  ;({ space } = await serversUnderTest('dead_letters_command'))
  directory = mkdtempSync(join(tmpdir(), 'ims-dead-letters-'))
  broker = await openBroker(rabbitmqEnvironment.parse(serversEnvironment(space)), quietService, {
    publishes: contracts,
  })
})
afterAll(async () => {
  await broker.close()
  await space.drop()
  rmSync(directory, { recursive: true })
})

async function run(args: readonly string[], env: Record<string, string>, command = 'dead-letters') {
  const kept = Object.entries(process.env).filter(([name]) => !/^(RABBITMQ|MYSQL)_/.test(name))
  const { code, out, err } = await runToEnd({
    command: [process.execPath, MAIN, command, ...args],
    env: { ...Object.fromEntries(kept), NODE_OPTIONS: '', IMS_UP_DIRECTORY: directory, IMS_SERVICES: 'local', ...env },
  })
  return { code, output: out + err }
}

it('fails with a message when no suite runs and the environment names no broker', async () => {
  expect(await run(['list'], {})).toMatchObject({ code: 69, output: expect.stringContaining('no suite runs here') })
})

it('prints its help without a broker', async () => {
  expect(await run([], {})).toMatchObject({ code: 0, output: expect.stringContaining('usage: npm run dead-letters') })
})

function writeSuiteOf(supervisor: ProcessIdentity): void {
  const { rabbitmq, mysql } = space
  const suite = { phase: 'up', mode: 'local', http: 'http://127.0.0.1:5000' } as const
  writeState(directory, { ...suite, supervisor, rabbitmq, mysql, servers: [], services: [] })
}

it('does not use the broker address of a suite whose supervisor was killed', async () => {
  writeSuiteOf({ pid: process.pid, started: 'at another time' })
  expect(await run(['list', 'create_item'], {})).toMatchObject({
    code: 69,
    output: expect.stringContaining('no suite runs here'),
  })
})

it('connects to the broker of the running suite', async () => {
  const ourselves = identify(process.pid)
  if (ourselves === undefined) throw new Error('this process runs')
  writeSuiteOf(ourselves)
  // The dead-letter queues do not exist yet.
  expect(await run(['list', 'create_item'], {})).toMatchObject({
    code: 69,
    output: expect.stringContaining('the broker has no queue create_item.dead-letter'),
  })
})

it('uses the broker in the environment instead of the running suite', async () => {
  const { code, output } = await run(['list'], { ...serversEnvironment(space), RABBITMQ_PORT: '1' })
  expect({ code, output }).toEqual({ code: 69, output: expect.stringContaining('ECONNREFUSED') })
})

it('sends the query for the state of a message to the broker of the running suite', async () => {
  // No consumer replies to the query.
  expect(await run(['an-id'], {}, 'message')).toMatchObject({
    code: 69,
    output: expect.stringContaining('no reply from message_status'),
  })
})
