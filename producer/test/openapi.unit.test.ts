// The OpenAPI document and the application have the same paths and methods, and every reference in the document resolves.
import { readFileSync } from 'node:fs'
import { contracts, createItem } from '@ims/messaging'
import { describe, expect, it } from '@jest/globals'
import { z } from 'zod'
import { createApp } from '../src/producer.ts'
import { deadLetterChoice } from '../src/routes/dead-letters-work.ts'
import { apple, appUnderTest } from './app-under-test.ts'
import { documentedOperations } from './openapi.ts'

const routed = z.object({
  route: z.object({ path: z.string(), methods: z.record(z.string(), z.boolean()) }).optional(),
})
const layers = z.array(routed.extend({ name: z.string(), handle: z.unknown() }))
const router = z.custom<{ stack: unknown }>((value) => typeof value === 'function' && 'stack' in value)

const listing = z.object({
  get: z.object({
    responses: z.object({
      200: z.object({
        content: z.object({
          'application/json': z.object({
            example: z.object({ queues: z.array(z.looseObject({ queue: z.string() })) }),
          }),
        }),
      }),
    }),
  }),
})
const schemas = z.object({
  paths: z.object({ '/queues': listing, '/dead_letters': listing }),
  components: z.object({
    parameters: z.object({ Queue: z.object({ schema: z.object({ enum: z.array(z.string()) }) }) }),
    schemas: z.object({
      Decimal: z.object({ pattern: z.string() }),
      DeadLetterChoice: z.object({ properties: z.record(z.string(), z.unknown()) }),
    }),
  }),
})

/** The routes of the application, without HEAD under /dead_letters, which is always rejected. */
function routes(): string[] {
  const { config, service, rabbitmq } = appUnderTest()
  const nothing = () => Promise.reject(new Error('no broker'))
  const deadLetters = { browse: nothing, redrive: nothing, discard: nothing }
  const app = createApp({ broker: rabbitmq.open(), config, service, deadLetters })
  return layers
    .parse(app.router.stack)
    .flatMap(({ route, name, handle }) =>
      name === 'router'
        ? routesOf(router.parse(handle).stack, '/dead_letters', ['_all', 'head'])
        : routesOf([{ route }]),
    )
}

function routesOf(stack: unknown, prefix = '', without = ['_all']): string[] {
  return z
    .array(routed)
    .parse(stack)
    .flatMap(({ route }) => {
      const path = prefix + (prefix !== '' && route?.path === '/' ? '' : route?.path)
      return Object.keys(route?.methods ?? {})
        .filter((method) => !without.includes(method))
        .map((method) => `${method.toUpperCase()} ${path.replaceAll(/:(\w+)/g, '{$1}')}`)
    })
}

describe('openapi.json', () => {
  it('has each route of the application, and no other', () => {
    const documented = [...documentedOperations()].flatMap(([path, operations]) =>
      [...operations.keys()].map((method) => `${method} ${path}`),
    )
    expect(documented.sort()).toEqual(routes().sort())
  })

  it('has no dangling references', () => {
    const text = readFileSync(new URL('../src/openapi.json', import.meta.url), 'utf8')
    const whole: unknown = JSON.parse(text)
    for (const [, pointer = ''] of text.matchAll(/"\$ref": "#\/([^"]+)"/g)) {
      const found = pointer
        .split('/')
        .reduce<unknown>((at, name) => z.record(z.string(), z.unknown()).parse(at)[name], whole)
      expect([pointer, found]).toEqual([pointer, expect.anything()])
    }
  })

  it('names each queue, also in the examples', () => {
    const { components, paths } = schemas.parse(
      JSON.parse(readFileSync(new URL('../src/openapi.json', import.meta.url), 'utf8')),
    )
    const names = contracts.map(({ queue }) => queue)
    expect(components.parameters.Queue.schema.enum.sort()).toEqual([...names].sort())
    for (const { get } of Object.values(paths))
      expect(get.responses[200].content['application/json'].example.queues.map(({ queue }) => queue)).toEqual(names)
  })

  it('describes the choice of dead letters as the producer parses it', () => {
    const { components } = schemas.parse(
      JSON.parse(readFileSync(new URL('../src/openapi.json', import.meta.url), 'utf8')),
    )
    const { properties } = z
      .object({ properties: z.record(z.string(), z.unknown()) })
      .parse(z.toJSONSchema(deadLetterChoice, { io: 'input' }))
    expect(properties).toMatchObject(components.schemas.DeadLetterChoice.properties)
    expect(Object.keys(properties)).toEqual(Object.keys(components.schemas.DeadLetterChoice.properties))
  })

  it('accepts the same decimal numbers in strings as the producer', () => {
    const { components } = schemas.parse(
      JSON.parse(readFileSync(new URL('../src/openapi.json', import.meta.url), 'utf8')),
    )
    const pattern = new RegExp(components.schemas.Decimal.pattern)
    for (const price of ['25.00', ' +.5\t', '5.', '5e1', '', ' ', '.', 'e1', '0x10', '1_000', '1 0', '\u00a05', 'NaN'])
      expect([price, pattern.test(price)]).toEqual([price, createItem.body.safeParse({ ...apple, price }).success])
  })
})
