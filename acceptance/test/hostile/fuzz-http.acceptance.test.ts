// Sends thousands of generated requests to the whole suite. The OpenAPI document allows every response, and the suite is
// healthy afterwards.
import { Agent } from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { eventually, fuzzParameters } from 'testkit'
import { generatedRequest, mustBeDocumented, sendGenerated } from '../../../producer/test/http-fuzz.ts'
import { call, item } from '../http.ts'
import { SERVICES, type Stack, startStack } from '../stack.ts'

const QUEUES = ['healthcheck', 'create_item', 'stock_management', 'order_processing'] as const

describe('the suite with generated requests', () => {
  let stack: Stack
  const agent = new Agent({ keepAlive: true, maxSockets: 4 })
  beforeAll(async () => {
    stack = await startStack('fuzz_http')
  })
  afterAll(async () => {
    agent.destroy()
    await stack.stop()
  })

  it('responds to each request as documented', async () => {
    const port = Number(new URL(stack.http).port)
    await fc.assert(
      fc.asyncProperty(generatedRequest, async (request) => {
        mustBeDocumented(request, await sendGenerated(port, agent, request), { hasConsole: true })
      }),
      { ...fuzzParameters(2_000), endOnFailure: true },
    )
  }, 1_800_000)

  it('is alive and ready afterwards, with empty queues and no dead letters except duplicate skus', async () => {
    await stack.ready()
    for (const queue of QUEUES) await eventually(async () => expect(await stack.depth(queue)).toBe(0))
    for (const queue of QUEUES)
      for (const { headers } of await stack.deadLetters(queue))
        expect([queue, headers['x-reason']]).toEqual(['create_item', 'duplicate-sku'])
    for (const name of SERVICES) expect(stack.service(name).log.filter(({ level }) => level === 'error')).toEqual([])
    const created = await call(`${stack.http}/create_item`, { json: item(1), headers: { Prefer: 'wait=30' } })
    expect(created.status).toBe(201)
    const listed = await call(`${stack.http}/order_processing?sku=${item(1).sku}`)
    expect(listed.body).toEqual([item(1)])
  })
})
