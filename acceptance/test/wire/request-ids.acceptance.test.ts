// Every log line about a message, in all services, has the id of the HTTP request that sent the message.
import { execFile, execFileSync } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { eventually } from 'testkit'
import { z } from 'zod'
import { codeBlocks } from '../documents/documents.ts'
import { call, item } from '../http.ts'
import { ROOT, SERVICES, type ServiceName, type Stack, startStack } from '../stack.ts'

const MINUTE_MS = 60_000
const one = z.object({ messageId: z.string(), requestId: z.unknown() })
const several = z.object({ messageIds: z.array(z.unknown()), requestIds: z.array(z.unknown()) })

describe('the request id', () => {
  let stack: Stack
  beforeAll(async () => {
    stack = await startStack('request-ids', { env: { LOG_LEVEL: 'debug' } })
  }, 2 * MINUTE_MS)
  afterAll(async () => await stack.stop())

  /** The log lines that name the message, each with its service, its text, and its request id for this message. */
  const linesOf = (id: string) =>
    SERVICES.flatMap((service) =>
      stack
        .lines(service)
        .filter((line) => JSON.stringify(line).includes(id))
        .map((line) => {
          const { data: list } = several.safeParse(line)
          const at = list?.messageIds.indexOf(id) ?? -1
          const requestId = at >= 0 ? list?.requestIds[at] : one.safeParse(line).data?.requestId
          return { service, message: line.message, requestId }
        }),
    )
  const sent = async (path: string, requestId: string, json?: object, headers: Record<string, string> = {}) => {
    const all = { ...headers, 'X-Request-Id': requestId }
    return await call(`${stack.http}${path}`, json === undefined ? { headers: all } : { json, headers: all })
  }
  const idIn = ({ headers }: { headers: Headers }) => headers.get('message-id') ?? 'none'
  const program = (name: string, ...args: string[]) =>
    new Promise<string>((resolve) => {
      const env = { PATH: process.env.PATH, ...stack.env }
      execFile(process.execPath, [`${ROOT}producer/src/${name}.ts`, ...args], { env }, (_, out) => resolve(out))
    })

  it.each([
    ['/healthcheck', 'consumer_one', undefined],
    ['/create_item', 'consumer_two', item(1)],
    ['/stock_adjustment', 'consumer_three', { sku: item(1).sku, change: -1, reason: 'sold' }],
    ['/stock_management', 'consumer_three', { sku: item(2).sku }],
  ])(
    'is in every log line about the message of %s',
    async (path, service, json) => {
      const requestId = `request.of${path.replace('/', '-')}`
      const id = idIn(await sent(path, requestId, json))
      await eventually(() => {
        const lines = linesOf(id)
        expect(lines).toContainEqual({ service, message: 'message applied', requestId })
        expect(lines).toContainEqual({ service, message: 'batch handled', requestId })
        expect(lines).toContainEqual({ service: 'producer', message: 'request', requestId })
      })
      expect(linesOf(id).filter((line) => line.requestId !== requestId)).toEqual([])
    },
    3 * MINUTE_MS,
  )

  it.each(['/order_processing?sku=a', '/movements', '/messages/018f0000-0000-7000-8000-000000000000'])(
    'is in every log line about the query of %s',
    async (path) => {
      const requestId = `query-${path.length}`
      expect((await sent(path, requestId)).status).toBe(200)
      const answered = () => stack.lines('consumer_four').find((each) => each.requestId === requestId)
      const expected = { message: 'message answered', messageId: expect.any(String) }
      await eventually(() => expect(answered()).toMatchObject(expected))
      const lines = linesOf(String(answered()?.messageId))
      expect(lines.filter((each) => each.requestId !== requestId)).toEqual([])
    },
    3 * MINUTE_MS,
  )

  it(
    'is in the log lines about a refusal, a dead letter and a redrive, and is shown with the dead letter',
    async () => {
      expect((await sent('/create_item', 'first', item(3), { Prefer: 'wait=20' })).status).toBe(201)
      const id = idIn(await sent('/create_item', 'second', item(3)))
      const deadLettered = {
        service: 'consumer_two',
        message: '1 message refused and dead-lettered',
        requestId: 'second',
      }
      await eventually(() => expect(linesOf(id)).toContainEqual(deadLettered))
      expect(await program('dead-letters', 'show', id)).toMatch(/request id +second\n/)
      expect(await program('dead-letters', 'redrive', 'create_item', '--id', id)).toContain('1 redriven')
      await eventually(() =>
        expect(linesOf(id).filter(({ message }) => message === deadLettered.message)).toHaveLength(2),
      )
      const reported = idIn(await sent('/create_item', 'third', item(3), { Prefer: 'wait=20' }))
      const message = 'message refused: its sender was told'
      await eventually(() =>
        expect(linesOf(reported)).toContainEqual({ service: 'consumer_two', message, requestId: 'third' }),
      )
      expect(linesOf(id).filter(({ requestId }) => requestId !== 'second')).toEqual([])
      expect(linesOf(reported).filter(({ requestId }) => requestId !== 'third')).toEqual([])
    },
    3 * MINUTE_MS,
  )

  it(
    'is found by the commands of docs/metrics.md, which also find the addresses of clients that send bad requests',
    async () => {
      const page = readFileSync(join(ROOT, 'docs/metrics.md'), 'utf8')
      const [byId = '', byAddress = ''] = codeBlocks(page.slice(page.indexOf('\n## Log')), 'sh')
      const file = join(tmpdir(), `ims-log-${process.pid}`)
      const output = (command: string, ...services: ServiceName[]) => {
        const lines = (services.length > 0 ? services : SERVICES).flatMap((service) => stack.lines(service))
        writeFileSync(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
        return execFileSync('bash', ['-c', command.replace(/docker compose logs [^|]+/, `cat ${file} `)]).toString()
      }
      expect((await sent('/create_item', 'order-4711', item(4))).status).toBe(200)
      expect((await sent('/create_item', 'bad', {})).status).toBe(400)
      try {
        await eventually(() => {
          const found = output(byId).trimEnd().split('\n')
          for (const service of ['producer', 'consumer_two'])
            expect(found).toContainEqual(expect.stringContaining(`"service":"${service}"`))
          expect(found.filter((line) => !line.includes('order-4711'))).toEqual([])
          expect(output(byAddress, 'producer')).toMatch(/^ +\d+ "address":"127\.0\.0\.1"\n$/)
        })
      } finally {
        rmSync(file, { force: true })
      }
    },
    3 * MINUTE_MS,
  )

  it(
    'is dropped when it is invalid, and the message is applied',
    async () => {
      const hostile = [
        '\u001b[2J\r\nlevel=error',
        'x'.repeat(10_000),
        42,
        { 'x-request-id': 'inner' },
        ['listed'],
        null,
      ]
      for (const [index, value] of hostile.entries()) {
        const options = { messageId: `hostile-${index}`, headers: { 'x-request-id': value } }
        stack.channel.sendToQueue('create_item', Buffer.from(JSON.stringify(item(10 + index))), options)
      }
      await stack.channel.waitForConfirms()
      await eventually(async () => {
        const skus = await stack.skus()
        for (const index of hostile.keys()) expect(skus).toContain(item(10 + index).sku)
      })
      for (const index of hostile.keys()) {
        const messages = () => linesOf(`hostile-${index}`).map(({ message }) => message)
        await eventually(() => expect(messages()).toEqual(['message applied', 'batch handled']))
        for (const { requestId } of linesOf(`hostile-${index}`)) expect(requestId ?? null).toBeNull()
      }
    },
    3 * MINUTE_MS,
  )
})
