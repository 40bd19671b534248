// Safe retries: the loops of docs/api.md run while the broker is restarted and a producer is killed, and every command is
// applied once.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { eventually, start } from 'testkit'
import { z } from 'zod'
import { codeBlocks, ROOT } from '../documents/documents.ts'
import { call, type ParsedResponse } from '../http.ts'
import { type Stack, startStack } from '../stack.ts'

const MINUTE_MS = 60_000
const STOCK = 100_000
const CHANGE = -3
/** The number of loops of each language that run in parallel. */
const LANES = 3
/** The item that the documents change. */
const sku = 'IB123456789'
const item = { sku, name: 'Tropicana Apple Juice', label: 'juice', price: 25, quantity: STOCK }
const counted = z.tuple([z.object({ found: z.coerce.number() })])
const adjusted = z.object({ message: z.literal('Stock adjusted'), sku: z.literal(sku), quantity: z.int() })

describe('a command with an Idempotency-Key', () => {
  let stack: Stack
  let other: string
  beforeAll(async () => {
    stack = await startStack('idempotency', {
      env: { RABBITMQ_RECONNECT_MOST_MS: '1000', CONSUMER_RETRY_MOST_MS: '1000' },
    })
    const { log } = await stack.start('producer#2', { PORT: '0' })
    await stack.ready('producer#2')
    await eventually(() => {
      const listening = log.find(({ message }) => String(message).startsWith('listening on '))
      other = `http://127.0.0.1:${z.int().parse(listening?.port)}`
    })
  }, 2 * MINUTE_MS)
  afterAll(async () => await stack.stop())

  const count = async (table: string) =>
    counted.parse((await stack.pool.query(`SELECT COUNT(*) AS found FROM ${table}`))[0])[0].found
  const send = (key: string, json: object, { path = '/create_item', wait = true, http = stack.http } = {}) =>
    call(`${http}${path}`, { json, headers: { 'Idempotency-Key': `"${key}"`, ...(wait ? { Prefer: 'wait=20' } : {}) } })
  const reported = ({ status, body, headers }: ParsedResponse) => ({
    status,
    body,
    location: headers.get('location'),
    messageId: headers.get('message-id'),
  })

  it('is applied once and gets the same response again, and its key is rejected with another body', async () => {
    const answer = await send('create', item)
    expect(answer.headers.get('idempotent-replayed')).toBeNull()
    expect((await send('create', item)).headers.get('idempotent-replayed')).toBe('true')
    const first = reported(answer)
    expect(first).toMatchObject({ status: 201, body: item, location: `/order_processing?sku=${sku}` })
    expect(reported(await send('create', item))).toEqual(first)
    expect(reported(await send('create', item, { http: other }))).toEqual(first)
    const reused = await send('create', { ...item, price: 26 }, { http: other })
    expect([reused.status, reused.body]).toMatchObject([422, { type: 'urn:ims:problem:idempotency-key-reused' }])
    // A different key means a different command.
    expect(await send('create 2', item)).toMatchObject({ status: 409, body: { sku } })
    expect(await stack.deadLetters('create_item')).toEqual([])

    const gone = { sku: 'gone' }
    const missing = reported(await send('delete', gone, { path: '/stock_management' }))
    expect(missing.status).toBe(404)
    expect((await send('create gone', { ...item, ...gone })).status).toBe(201)
    // The first outcome is returned again, although the item now exists.
    expect(reported(await send('delete', gone, { path: '/stock_management' }))).toEqual(missing)
    expect(await stack.skus()).toEqual([sku, 'gone'])

    const status = (await call(`${stack.http}/messages/${first.messageId}`)).body
    expect(status).toMatchObject({ state: 'applied', outcome: 'created' })
  })

  it('is applied once when two replicas of the producer send it at the same time', async () => {
    const change = { sku, change: CHANGE, reason: 'sold' }
    for (let n = 0; n < 20; n += 1) {
      const responses = await Promise.all(
        [stack.http, other].map((http) => send(`both ${n}`, change, { path: '/stock_adjustment', http })),
      )
      const [one, two] = responses.map(reported)
      expect(one?.status).toBe(201)
      expect(two).toEqual(one)
    }
    expect(await count('movement')).toBe(20)
  })

  it('becomes a dead letter if its key was used with another body and no client waits for the outcome', async () => {
    const first = await send('silent', { ...item, sku: 'silent' }, { wait: false })
    const second = await send('silent', { ...item, sku: 'other' }, { wait: false })
    expect([first.status, second.status]).toEqual([200, 200])
    const messageId = first.headers.get('message-id')
    expect(second.headers.get('message-id')).toBe(messageId)
    await eventually(async () => expect(await stack.depth('create_item.dead-letter')).toBe(1))
    expect(await stack.deadLetters('create_item')).toMatchObject([
      { messageId, headers: { 'x-reason': 'message-id-reused' } },
    ])
    const skus = await stack.skus()
    expect([skus.includes('silent'), skus.includes('other')]).toEqual([true, false])
  })

  it('is reported as possibly forgotten if its id is unknown, because the id contains no time', async () => {
    // A UUIDv8, as derived from a key.
    const { body } = await call(`${stack.http}/messages/1f6621c0-5e30-88b4-b73b-dbc587631c28`)
    expect(body).toMatchObject({ state: 'unknown', possible: expect.arrayContaining(['queued', 'forgotten']) })
    expect(body).not.toHaveProperty('sentAt')
  })

  it(
    'is applied once when the loops of docs/api.md retry it while the broker is restarted and the producer is killed',
    async () => {
      const [before, movedBefore] = [await quantity(), await count('movement')]
      const directory = await mkdtemp(join(tmpdir(), 'ims-idempotency-'))
      const over = new AbortController()
      const options = { cwd: directory, signal: over.signal }
      try {
        const [curl, javascript] = await loops()
        const lanes = Array.from({ length: LANES }, (_, lane) => [
          run('bash', ['-c', repeated(curl, lane)], options),
          run(process.execPath, ['--input-type=module', '-e', `${javascript}\n${calling}`], options),
        ]).flat()
        const responses = Promise.all(lanes)
        responses.catch(() => {})
        await someMore()
        await stack.servers.rabbitmq.stop()
        await stack.servers.rabbitmq.start()
        await someMore()
        stack.service('producer').kill('SIGKILL')
        await stack.start('producer')
        await someMore()
        await writeFile(join(directory, 'stop'), '')
        const quantities = (await responses).flatMap((lines) =>
          lines
            .trim()
            .split('\n')
            .map((line) => adjusted.parse(JSON.parse(line)).quantity),
        )
        const sent = quantities.length
        const all = Array.from({ length: sent }, (_, n) => before + (n + 1) * CHANGE)
        expect(quantities.sort((a, b) => b - a)).toEqual(all)
        expect(await count('movement')).toBe(movedBefore + sent)
        expect(await quantity()).toBe(before + sent * CHANGE)
        // At least one request must have failed. Otherwise no command was retried.
        const requests = stack.lines('producer').filter(({ route }) => route === '/stock_adjustment')
        expect(requests.some(({ status }) => status !== 201)).toBe(true)
        expect(await stack.deadLetters('stock_adjustment')).toEqual([])
      } finally {
        over.abort()
        await rm(directory, { recursive: true })
      }
    },
    5 * MINUTE_MS,
  )

  const quantity = async () => {
    const { body } = await call(`${stack.http}/order_processing?sku=${sku}`)
    return z.tuple([z.object({ quantity: z.int() })]).parse(body)[0].quantity
  }
  const someMore = async () => {
    const enough = (await count('movement')) + 2 * LANES
    await eventually(async () => expect(await count('movement')).toBeGreaterThan(enough), MINUTE_MS)
  }

  /** The loops of docs/api.md, with the address of this producer. */
  const loops = async (): Promise<[string, string]> => {
    const page = await readFile(join(ROOT, 'docs/api.md'), 'utf8')
    const section = page.slice(page.indexOf('## Send again safely')).replaceAll('http://127.0.0.1:5000', stack.http)
    return [codeBlocks(section, 'sh')[0] ?? '', codeBlocks(section, 'js')[0] ?? '']
  }
  const repeated = (loop: string, lane: number) =>
    `until [ -e stop ]; do\n${loop.replaceAll('answer.json', `answer-${lane}.json`)}echo; sleep 0.1; done`
  const calling = `import { existsSync } from 'node:fs'
    while (!existsSync('stop')) {
      const { body } = await send('/stock_adjustment', { sku: '${sku}', change: ${CHANGE}, reason: 'sold' })
      console.log(JSON.stringify(body))
      await new Promise((resolve) => setTimeout(resolve, 100))
    }`
})

/** Runs a program to its end. Resolves with its output. */
async function run(
  program: string,
  args: readonly string[],
  options: { readonly cwd: string; readonly signal: AbortSignal },
): Promise<string> {
  const { child, ended, out } = start({
    command: [program, ...args],
    cwd: options.cwd,
    env: { ...process.env, NODE_OPTIONS: '' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  options.signal.addEventListener('abort', () => child.kill())
  await ended
  return out()
}
