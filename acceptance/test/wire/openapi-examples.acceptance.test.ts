// Sends each example request of openapi.json to the real suite. The response must fit its schema and equal the example,
// except for ids, times and counts.
import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import Ajv from 'ajv'
import { eventually } from 'testkit'
import { type Operation, openApi } from '../documents/openapi-document.ts'
import { type Stack, startStack } from '../stack.ts'

const KEY = 'key-of-an-operator'
const { whole, operations } = openApi()
// Ajv gets no logger, because it would warn about every member `id` in an example.
const ajv = new Ajv({ logger: false }).addSchema(whole, 'openapi')
const exampleOf = (id: string) => operations.find((each) => each.id === id)

/** Replaces the values that differ between runs: ids, times, and counts of earlier requests. */
const settled = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value ?? null), (name, each) =>
    name === 'accepted'
      ? '<count>'
      : typeof each === 'string'
        ? each
            .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, '<time>')
            .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '<id>')
        : each,
  )

function requestOf({ path, method, parameters, body }: Operation): { path: string; init: RequestInit } {
  const examplesIn = (location: string): [string, string][] =>
    parameters.filter((each) => each.in === location).map(({ name, example }) => [name, String(example)])
  const query = new URLSearchParams(examplesIn('query')).toString()
  const filled = examplesIn('path').reduce(
    (at, [name, value]) => at.replace(`{${name}}`, encodeURIComponent(value)),
    path,
  )
  const headers = new Headers([['Authorization', `Bearer ${KEY}`], ...examplesIn('header')])
  if (body !== undefined) headers.set('Content-Type', 'application/json')
  const init = { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) }
  return { path: query === '' ? filled : `${filled}?${query}`, init }
}

describe('openapi.json', () => {
  let stack: Stack
  beforeAll(async () => {
    const key = `operator read,write,admin ${createHash('sha256').update(KEY).digest('hex')}`
    stack = await startStack('openapi_examples', { env: { API_KEYS: key } })
  })
  afterAll(async () => await stack.stop())

  const item = exampleOf('createItem')?.body
  const storeItem = async () => {
    const request = { method: 'POST', headers: { Authorization: `Bearer ${KEY}`, 'Content-Type': 'application/json' } }
    await fetch(`${stack.http}/create_item`, { ...request, body: JSON.stringify(item) })
    await eventually(async () => expect(await stack.skus()).toHaveLength(1))
  }
  /** Sends the item again. Its sku exists, so the message becomes a dead letter. */
  const addDeadLetter = async ({ parameters }: Operation) => {
    const given = Object.fromEntries(parameters.map(({ name, example }) => [name, String(example)]))
    const { id: messageId = idOf('showDeadLetter'), queue = 'create_item' } = given
    await stack.channel.purgeQueue(`${queue}.dead-letter`)
    // The redrive of an earlier example has applied a message with this id.
    await stack.pool.query('DELETE FROM inbox')
    stack.channel.sendToQueue(queue, Buffer.from(JSON.stringify(item)), { persistent: true, messageId })
    await eventually(async () => expect(await stack.depth(`${queue}.dead-letter`)).toBe(1))
  }
  const idOf = (id: string) => String(exampleOf(id)?.parameters.find(({ name }) => name === 'id')?.example)

  /** Creates the state that an example needs and that earlier examples have not created. */
  async function prepare(operation: Operation): Promise<void> {
    if (operation.id === 'adjustStock') await storeItem()
    if (operation.tag === 'Dead letters') await addDeadLetter(operation)
    if (operation.id === 'redriveDeadLetters') await stack.pool.query('DELETE FROM inventory')
  }

  it.each(operations.map((operation) => [operation.id, operation] as const))(
    'shows the response of %s',
    async (_, operation) => {
      expect(operation.withoutExample).toEqual([])
      await prepare(operation)
      const { path, init } = requestOf(operation)
      // The broker updates its message counts with a delay after earlier examples.
      if (operation.method === 'GET') await eventually(async () => await compare())
      else await compare()

      async function compare() {
        const response = await fetch(stack.http + path, init)
        const text = await response.text()
        const { status } = response
        if (status >= 400) throw new Error(`${init.method} ${path} failed with ${status}: ${text}`)
        expect([...operation.responses.keys()]).toContain(status)
        const expected = operation.responses.get(status)
        if (expected === undefined) return expect(text).toBe('')
        expect(response.headers.get('Content-Type')).toBe(expected.type)
        const bodies = expected.type === 'application/x-ndjson' ? text.trimEnd().split('\n') : [text]
        for (const body of bodies.map((each) => JSON.parse(each))) {
          ajv.validate(`openapi${expected.schema}`, body)
          expect(ajv.errors ?? []).toEqual([])
          expect(settled(body)).toEqual(settled(expected.example))
        }
      }
    },
  )
})
