// Consumers two and three delete old inbox rows in the background while they apply new messages, and count the deleted rows.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import type { RowDataPacket } from 'mysql2/promise'
import { eventually } from 'testkit'
import { call, item } from '../http.ts'
import { type ServiceProcess, type Stack, startStack } from '../stack.ts'

const OLD = 1_200

describe('the retention of the inbox', () => {
  let stack: Stack
  const consumers: ServiceProcess[] = []
  beforeAll(async () => {
    stack = await startStack('retention_suite', {
      services: ['consumer_two', 'consumer_three', 'consumer_four', 'consumer_one'],
      env: { INBOX_RETENTION_DAYS: '7', INBOX_RETENTION_EVERY_S: '1' },
    })
    consumers.push(stack.service('consumer_two'), stack.service('consumer_three'), await stack.start('consumer_two'))
    await stack.start('producer')
    await stack.ready()
  })
  afterAll(async () => await stack.stop())

  const rows = async (where: string) => {
    const [[row]] = await stack.pool.query<RowDataPacket[]>(`SELECT COUNT(*) AS n FROM inbox WHERE ${where}`)
    return Number(row?.n)
  }
  const removedBy = async ({ admin }: ServiceProcess) => {
    const metrics = await (await fetch(`${admin}/metrics`)).text()
    return Number(/^ims_inbox_rows_removed_total\{[^}]*\} (\d+)$/m.exec(metrics)?.[1])
  }

  it('deletes old rows and keeps newer ones while three consumers delete at the same time', async () => {
    const values = (age: string, count: number) =>
      Array.from(
        { length: count },
        (_, n) => `('create_item', '${age}-${n}', 'f', 'created', UTC_TIMESTAMP(3) - INTERVAL ${age})`,
      ).join(', ')
    for (const [age, count] of [
      ['8 DAY', OLD],
      ['6 DAY', 100],
    ] as const)
      await stack.pool.query(
        `INSERT INTO inbox (queue, message_id, fingerprint, outcome, applied_at) VALUES ${values(age, count)}`,
      )
    for (let n = 0; n < 50; n += 1) {
      const { status } = await call(`${stack.http}/create_item`, { json: item(n), headers: { Prefer: 'wait=30' } })
      expect(status).toBe(201)
    }
    await eventually(async () => expect(await rows("message_id LIKE '8 DAY%'")).toBe(0))
    expect(await rows('1 = 1')).toBe(150)
    expect(await stack.skus()).toHaveLength(50)
    const sum = (counts: readonly number[]) => counts.reduce((total, each) => total + each, 0)
    const logged = () =>
      consumers.flatMap(({ log }) => log).filter(({ message }) => message === 'removed old rows of the inbox')
    // A consumer counts and logs the rows only after it has committed their deletion.
    await eventually(async () => {
      expect(sum(await Promise.all(consumers.map(removedBy)))).toBe(OLD)
      expect(sum(logged().map(({ rows }) => Number(rows)))).toBe(OLD)
    })
    for (const line of logged()) expect(line).toMatchObject({ days: 7, level: 'info' })
  })

  it('does not prevent its service from exiting with 0', async () => {
    stack.service('consumer_three').kill('SIGTERM')
    expect(await stack.service('consumer_three').exited).toBe(0)
  })
})
