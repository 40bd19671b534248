// Under load, kills each container, and restarts RabbitMQ and MySQL. No accepted message is lost or applied twice.
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals'
import { eventually, start } from 'testkit'
import { z } from 'zod'
import { call, item } from '../http.ts'
import { loadOn } from '../load.ts'
import {
  buildAndUp,
  compose,
  containers,
  crash,
  docker,
  http,
  inspect,
  messagesOn,
  removeAll,
  SERVICES,
  sql,
  takeDeadLetters,
} from './compose.ts'

const MINUTE_MS = 60_000
const UNDER_LOAD_MS = 1_500
const BACK_WITHIN_MS = 90_000
const DELIVERY_LIMIT = 20

const servers = ['rabbitmq', 'mysql'] as const

beforeAll(async () => {
  await removeAll()
  await buildAndUp()
}, 15 * MINUTE_MS)
afterAll(async () => {
  await removeAll()
}, 2 * MINUTE_MS)
afterEach(async () => {
  await allHealthy()
  await sql('DELETE FROM inventory')
}, 2 * MINUTE_MS)

const allHealthy = async () =>
  await eventually(async () => {
    const down = (await containers()).filter(({ State, Health }) => State === 'running' && Health !== 'healthy')
    expect(down.map(({ Service, Health }) => `${Service} is ${Health}`)).toEqual([])
    expect((await containers()).filter(({ State }) => State === 'running')).toHaveLength(
      SERVICES.length + servers.length,
    )
  }, BACK_WITHIN_MS)

/** Checks that every accepted item is a row (exactly one, because sku is unique), and that no message or dead letter is left. */
const allApplied = async (accepted: readonly string[]) => {
  expect(accepted.length).toBeGreaterThan(0)
  await eventually(async () => {
    const rows = new Set((await sql('SELECT sku FROM inventory')).split('\n'))
    expect(accepted.filter((sku) => !rows.has(sku))).toEqual([])
    expect(await messagesOn('create_item')).toBe(0)
  }, MINUTE_MS)
  expect(await takeDeadLetters('create_item')).toEqual([])
}

const restarts = async (service: string): Promise<number> =>
  z.object({ RestartCount: z.number() }).parse(await inspect(service)).RestartCount

let from = 0
const load = () => {
  from += 100_000
  return loadOn(http, from)
}

describe('under load', () => {
  it.each([...SERVICES, ...servers])(
    '%s recovers from a crash, and no accepted item is lost',
    async (service) => {
      const before = await restarts(service)
      const { accepted, stop } = load()
      try {
        await pause(UNDER_LOAD_MS)
        await crash(service)
        await eventually(async () => expect(await restarts(service)).toBeGreaterThan(before), BACK_WITHIN_MS)
        await allHealthy()
        const sofar = accepted.length
        await eventually(() => expect(accepted.length).toBeGreaterThan(sofar), MINUTE_MS)
      } finally {
        await stop()
      }
      await allApplied(accepted)
    },
    5 * MINUTE_MS,
  )

  it.each(servers)(
    '%s can be restarted: every response is 200 or 503, and no accepted item is lost',
    async (service) => {
      const { accepted, statuses, stop } = load()
      try {
        await pause(UNDER_LOAD_MS)
        await compose('restart', service)
        await allHealthy()
        await pause(UNDER_LOAD_MS)
      } finally {
        await stop()
      }
      await allApplied(accepted)
      expect([...statuses.keys()].filter((status) => status !== 200 && status !== 503)).toEqual([])
    },
    5 * MINUTE_MS,
  )
})

describe('a poison message', () => {
  it(
    'is dead-lettered at the delivery limit if its consumer is killed each time, and the next message is applied',
    async () => {
      const consumer = (await compose('ps', '--quiet', 'consumer_two')).trim()
      // A lock on the table keeps the message in flight for as long as the test needs.
      const exec = ['docker', 'compose', '--project-name', 'ims-test', 'exec', '--no-TTY', 'mysql'] as const
      const { child: holder } = start({ command: [...exec, 'sh', '-c', HOLD_TABLE] })
      const poison = item(1)
      let last = 0
      try {
        await eventually(async () => expect(await sql(LOCK_HELD)).toBe('1'))
        expect(await call(`${http}/create_item`, { json: poison })).toMatchObject({ status: 200 })
        for (let death = 0; death <= DELIVERY_LIMIT; death += 1) {
          // MySQL keeps the connections of dead clients for a while. An INSERT on a newer connection shows a redelivery.
          await eventually(async () => {
            const insert = Number(await sql(LAST_INSERT))
            expect(insert).toBeGreaterThan(last)
            last = insert
          }, MINUTE_MS)
          await docker('kill', '--signal', 'KILL', consumer)
          await docker('start', consumer)
        }
        await eventually(async () => expect(await messagesOn('create_item')).toBe(0))
      } finally {
        holder.kill()
        await sql(END_HOLDER)
      }
      const letters = await takeDeadLetters('create_item')
      expect(letters.map(({ payload }) => JSON.parse(payload))).toEqual([poison])
      expect(letters[0]?.properties.headers).toMatchObject({
        'x-death': [expect.objectContaining({ queue: 'create_item', reason: 'delivery_limit' })],
      })
      expect(letters[0]?.properties.message_id).toMatch(/^[0-9a-f-]{36}$/)
      await allHealthy()
      const next = await call(`${http}/create_item`, { json: item(2), headers: { Prefer: 'wait=20' } })
      expect(next).toMatchObject({ status: 201 })
      expect(await sql('SELECT sku FROM inventory')).toBe(item(2).sku)
    },
    5 * MINUTE_MS,
  )
})

const AS_ROOT = 'MYSQL_PWD="$(cat /run/accounts/root-password)" mysql --user=root ims'
const HOLD_TABLE = `${AS_ROOT} --execute 'LOCK TABLES inventory WRITE; SELECT SLEEP(280) AS held'`
const HOLDERS = "FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP(280)%'"
const LOCK_HELD = `SELECT COUNT(*) ${HOLDERS}`
/** The newest INSERT for a message. It ignores the probe by which a paused consumer checks that it may insert. */
const LAST_INSERT = `SELECT COALESCE(MAX(id), 0) FROM information_schema.processlist
  WHERE user = 'consumer_two' AND info LIKE 'INSERT INTO inventory%' AND info NOT LIKE '%WHERE FALSE'`
const END_HOLDER = `SELECT CONCAT('KILL ', id) INTO @kill ${HOLDERS} LIMIT 1; PREPARE k FROM @kill; EXECUTE k`
