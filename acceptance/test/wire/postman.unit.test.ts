// The Postman collection covers every route of the producer, and every request checks its response.
// postman.acceptance.test.ts runs it against the suite.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Script } from 'node:vm'
import { InMemoryRabbitmq, quietService } from '@ims/messaging/testing'
import { describe, expect, it } from '@jest/globals'
import { z } from 'zod'
import { httpEnvironment } from '../../../producer/src/config.ts'
import { createApp } from '../../../producer/src/producer.ts'

const event = z.object({
  listen: z.enum(['prerequest', 'test']),
  script: z.object({ type: z.literal('text/javascript'), exec: z.array(z.string()).min(1) }),
})
const request = z.object({
  name: z.string().min(1),
  event: z.array(event),
  request: z.object({
    method: z.string(),
    header: z.array(z.object({ key: z.string(), value: z.string() })),
    body: z.object({ mode: z.literal('raw'), raw: z.string() }).optional(),
    url: z.object({ raw: z.string().startsWith('{{baseUrl}}') }),
    description: z.string().min(1),
  }),
})
const collection = z.object({
  info: z.object({
    name: z.string(),
    description: z.string().min(1),
    schema: z.literal('https://schema.getpostman.com/json/collection/v2.1.0/collection.json'),
  }),
  event: z.array(event),
  variable: z.array(z.object({ key: z.string(), value: z.string(), description: z.string() })),
  item: z.array(z.object({ name: z.string(), description: z.string().min(1), item: z.array(request).min(1) })),
})

const text = readFileSync(join(import.meta.dirname, '../../../docs/ims.postman_collection.json'), 'utf8')
const { info, event: always, variable, item: folders } = collection.parse(JSON.parse(text))
const requests = folders.flatMap(({ item }) => item)

const scriptOf = ({ event }: Pick<z.infer<typeof request>, 'event'>, listen: 'prerequest' | 'test') =>
  event
    .filter((each) => each.listen === listen)
    .flatMap(({ script }) => script.exec)
    .join('\n')
const pathOf = (raw: string) => raw.replace('{{baseUrl}}', '').replace('{{messageId}}', ':id').split('?', 1)[0] ?? ''
const statusesOf = (one: z.infer<typeof request>) =>
  [...scriptOf(one, 'test').matchAll(/pm\.response\.to\.have\.status\((\d+)\)/g)].map(([, code]) => Number(code))

/** The routes of the producer, from its router, such as `GET /healthcheck`. */
function served(): string[] {
  const broker = new InMemoryRabbitmq().open()
  const { router } = createApp({ broker, config: httpEnvironment.parse({}), service: quietService })
  const route = z.object({ path: z.string(), stack: z.array(z.object({ method: z.string().optional() })) })
  const layers = z.array(z.object({ route: route.optional() })).parse(router.stack)
  return layers.flatMap(({ route }) =>
    // A handler without a method responds to all other methods with 405.
    (route?.stack ?? []).map(({ method }) => `${method?.toUpperCase() ?? '405'} ${route?.path}`),
  )
}

describe('the Postman collection', () => {
  it('requests every path with every method that the producer serves, and with one that it does not', () => {
    const asked = requests.flatMap((one) => {
      const path = pathOf(one.request.url.raw)
      return [`${one.request.method} ${path}`, ...statusesOf(one).map((status) => `${status} ${path}`)]
    })
    expect(served()).toContain('405 /order_processing')
    expect(asked).toEqual(expect.arrayContaining(served()))
  })

  it('expects ten different statuses, from 200 to 422', () => {
    const statuses = new Set(requests.flatMap(statusesOf))
    expect([...statuses].sort()).toEqual([200, 201, 202, 400, 404, 405, 409, 413, 415, 422])
  })

  it.each(requests)('checks the status of: $name', (one) => {
    expect(statusesOf(one)).toHaveLength(1)
  })

  it.each(requests)('checks more than the status of: $name', (one) => {
    expect(scriptOf(one, 'test').match(/\bpm\.test\(/g)?.length).toBeGreaterThan(1)
  })

  it('has scripts that are valid JavaScript', () => {
    const scripts = [...requests, { event: always }].flatMap(({ event }) => event.map(({ script }) => script.exec))
    for (const lines of scripts) expect(() => new Script(lines.join('\n'))).not.toThrow()
  })

  it('has a script that runs for every response, reads X-Request-Id and names application/problem+json', () => {
    const script = scriptOf({ event: always }, 'test')
    expect(script).toContain("pm.response.headers.get('X-Request-Id')")
    expect(script).toContain("'application/problem+json'")
  })

  it('gives every request a unique name, because retries refer to it', () => {
    const names = requests.map(({ name }) => name)
    expect([...new Set(names)]).toEqual(names)
    expect(text).toContain('pm.execution.setNextRequest(pm.info.requestName)')
  })

  it('uses only variables that it defines, and sets every variable without a value', () => {
    const used = [...text.matchAll(/\{\{(\w+)\}\}/g)].map(([, name]) => name)
    const scripts = requests.map((one) => scriptOf(one, 'prerequest') + scriptOf(one, 'test')).join('\n')
    const read = [...scripts.matchAll(/collectionVariables\.get\('(\w+)'\)/g)].map(([, name]) => name)
    expect(variable.map(({ key }) => key)).toEqual(expect.arrayContaining([...used, ...read]))
    for (const { key, value } of variable)
      expect([key, value !== '' || scripts.includes(`collectionVariables.set('${key}'`)]).toEqual([key, true])
  })

  it('uses the address of npm run up by default, and explains how to run it', () => {
    expect(variable[0]).toMatchObject({ key: 'baseUrl', value: `http://127.0.0.1:${httpEnvironment.parse({}).port}` })
    expect(info.description).toContain('newman run docs/ims.postman_collection.json')
  })

  it('deletes each item that it stores', () => {
    const body = z.object({ sku: z.string() })
    for (const { name, item } of folders) {
      const posted = item.filter(({ request }) => request.method === 'POST')
      const skus = (path: string, ...statuses: number[]) =>
        posted
          .filter(
            (one) => pathOf(one.request.url.raw) === path && statusesOf(one).some((each) => statuses.includes(each)),
          )
          .map(({ request }) => body.parse(JSON.parse(request.body?.raw ?? '')).sku)
      const stored = skus('/create_item', 200, 201)
      expect([name, skus('/stock_management', 200)]).toEqual([name, expect.arrayContaining(stored)])
    }
  })
})
