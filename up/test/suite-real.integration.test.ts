// The real suite on external servers: `up`, the four calls of the original suite, a killed consumer, and `down`.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { serviceNames } from '@ims/accounts/suite'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { ownSuite } from 'testkit'
import type { TestSpace } from 'testkit/servers/test-space'
import { serversEnvironment } from 'testkit/servers-environment'
import { serversUnderTest } from 'testkit/under-test'
import { runMain } from './fixtures/run-main.ts'
import { statusJson } from './fixtures/status-json.ts'
import { eventually } from './fixtures/suite-under-test.ts'

let space: TestSpace
let directory: string
let environment: NodeJS.ProcessEnv

beforeAll(async () => {
  ;({ space } = await serversUnderTest('real suite'))
  directory = mkdtempSync(join(tmpdir(), 'ims-real-'))
  environment = { ...(await ownSuite(directory)), IMS_SERVICES: 'external', ...serversEnvironment(space) }
})
afterAll(async () => {
  await ims('down')
  await space.drop()
  rmSync(directory, { recursive: true })
})

const ims = async (...args: string[]) => await runMain(environment, ...args)
const status = async () => statusJson.parse(JSON.parse((await ims('status', '--json')).output))

async function call(method: 'GET' | 'POST', path: string, body?: string): Promise<{ status: number; json: unknown }> {
  const answer = await fetch(`http://127.0.0.1:${environment.PORT}${path}`, {
    method,
    ...(body === undefined ? {} : { body, headers: { 'content-type': 'application/json' } }),
  })
  return { status: answer.status, json: await answer.json() }
}

const listed = async () => (await call('GET', '/order_processing')).json
const juice = { sku: 'IB123456789', name: 'Tropicana Apple Juice', label: 'juice', price: 25, quantity: 50 }

describe('the real suite', () => {
  it('starts in the background and handles the four calls of the original suite', async () => {
    const { code, output } = await ims('up', '--detach')
    expect({ code, output }).toMatchObject({ code: 0, output: expect.stringContaining('The suite is up.') })
    expect(await call('GET', '/healthcheck')).toMatchObject({ status: 200 })
    const body = JSON.stringify(juice).replace('25', '25.00')
    expect(await call('POST', '/create_item', body)).toMatchObject({ status: 200 })
    await eventually(async () => JSON.stringify(await listed()) === JSON.stringify([juice]), 'the item in the list')
    expect(await call('POST', '/stock_management', JSON.stringify({ sku: juice.sku }))).toMatchObject({ status: 200 })
    await eventually(async () => JSON.stringify(await listed()) === '[]', 'the empty list')
    const logged = () => readFileSync(join(directory, 'logs', 'consumer_one.log'), 'utf8')
    await eventually(() => logged().includes('health check received'), 'the health check in the log')
  })

  it('prints its status as JSON, and a second `up` reports that it is already up', async () => {
    const { http, services, rabbitmq, mysql } = await status()
    expect(http).toBe(`http://127.0.0.1:${environment.PORT}`)
    expect(services.map(({ name, state }) => `${name} ${state}`)).toEqual(serviceNames.map((name) => `${name} ready`))
    expect([rabbitmq?.vhost, mysql?.database]).toEqual([space.rabbitmq.vhost, space.mysql.database])
    const { code, output } = await ims('up')
    expect({ code, output }).toMatchObject({ code: 0, output: expect.stringContaining('already up') })
  })

  it('restarts a killed consumer', async () => {
    const killed = (await status()).services[1]?.pid ?? 0
    process.kill(killed, 'SIGKILL')
    await eventually(async () => {
      const consumer = (await status()).services[1]
      return consumer?.state === 'ready' && consumer.pid !== killed
    }, 'consumer_two ready again')
    expect(readFileSync(join(directory, 'logs', 'up.log'), 'utf8')).toContain('consumer_two died (killed by SIGKILL)')
  })

  it('stops in order with a clean exit of every service, and reports that the servers are external', async () => {
    const { code, output } = await ims('down', '--volumes')
    expect(code).toBe(0)
    expect(output).toMatch(/^producer stopped\n(consumer_\w+ stopped\n)+RabbitMQ and MySQL are external /)
    for (const name of serviceNames) {
      const last = readFileSync(join(directory, 'logs', `${name}.log`), 'utf8')
        .trim()
        .split('\n')
        .at(-1)
      expect(JSON.parse(last ?? '')).toMatchObject({ message: 'stopped', exitCode: 0 })
    }
    expect((await ims('status')).code).toBe(3)
  })
})
