// The OpenAPI document and the application name the same paths and methods, and every reference in the document leads somewhere.
import { readFileSync } from 'node:fs'
import { describe, expect, it } from '@jest/globals'
import { z } from 'zod'
import { appUnderTest } from './app-under-test.ts'
import { documentedOperations } from './openapi.ts'

const layers = z.array(
  z.object({ route: z.object({ path: z.string(), methods: z.record(z.string(), z.boolean()) }).optional() }),
)
/** What the application routes, by its own account. */
function routes(): string[] {
  return layers.parse(appUnderTest().app.router.stack).flatMap(({ route }) =>
    route === undefined
      ? []
      : Object.keys(route.methods)
          .filter((method) => method !== '_all')
          .map((method) => `${method.toUpperCase()} ${route.path}`),
  )
}

describe('openapi.json', () => {
  it('has each route of the application, and no other', () => {
    const documented = [...documentedOperations()].flatMap(([path, operations]) =>
      [...operations.keys()].map((method) => `${method} ${path}`),
    )
    expect(documented.sort()).toEqual(routes().sort())
  })

  it('refers to nothing that it does not have', () => {
    const text = readFileSync(new URL('../openapi.json', import.meta.url), 'utf8')
    const whole: unknown = JSON.parse(text)
    for (const [, pointer = ''] of text.matchAll(/"\$ref": "#\/([^"]+)"/g)) {
      const found = pointer
        .split('/')
        .reduce<unknown>((at, name) => z.record(z.string(), z.unknown()).parse(at)[name], whole)
      expect([pointer, found]).toEqual([pointer, expect.anything()])
    }
  })
})
