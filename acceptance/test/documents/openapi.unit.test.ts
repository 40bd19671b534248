// The producer's OpenAPI document passes a linter, has an example of each parameter, body and response, and shows problems as
// the producer sends them.
// openapi-examples.acceptance.test.ts sends the examples to the producer.
import { readFileSync } from 'node:fs'
import { describe, expect, it } from '@jest/globals'
import { createConfig, lintFromString } from '@redocly/openapi-core'
import { z } from 'zod'
import { OPENAPI, openApi } from './openapi-document.ts'

const text = readFileSync(OPENAPI, 'utf8')
const { operations } = openApi()

/** Optional rules that the strict preset does not include. The last three check each example against its schema. */
const MORE_RULES = {
  'operation-description': 'error',
  'operation-tag-defined': 'error',
  'operation-singular-tag': 'error',
  'parameter-description': 'error',
  'tag-description': 'error',
  'info-contact': 'error',
  'no-invalid-media-type-examples': 'error',
  'no-invalid-parameter-examples': 'error',
  'no-invalid-schema-examples': 'error',
} as const

async function faultsOf(source: string): Promise<string[]> {
  const config = await createConfig({ extends: ['recommended-strict'], rules: MORE_RULES })
  const faults = await lintFromString({ source, absoluteRef: OPENAPI, config })
  return faults.map(({ ruleId, message, location: [at] }) => `${ruleId} ${at?.pointer}: ${message}`)
}

describe('openapi.json', () => {
  it('passes the linter without a warning', async () => {
    expect(await faultsOf(text)).toEqual([])
  })

  it.each([
    ['operation-description', '"description": "Sends no message.', '"x-description": "Sends no message.'],
    ['operation-tag-defined', '"tags": ["Health"]', '"tags": ["Healh"]'],
    ['no-invalid-media-type-examples', '"quantity": 47', '"quantity": "47"'],
    ['no-invalid-parameter-examples', '"example": 100', '"example": 0'],
    ['no-unused-components', '"#/components/schemas/Movement"', '"#/components/schemas/Item"'],
  ])('does not pass the rule %s with a planted fault', async (rule, good, bad) => {
    expect(text).toContain(good)
    expect((await faultsOf(text.replaceAll(good, bad))).map((fault) => fault.split(' ')[0])).toContain(rule)
  })

  it.each(operations.map((operation) => [operation.id, operation] as const))(
    'has an example of each parameter, body and response of %s',
    (_, { withoutExample }) => expect(withoutExample).toEqual([]),
  )

  it('shows problems with the type, title and status that the producer sends', () => {
    const sources = ['producer/src/http/problem.ts', 'runtime/src/http/refusal.ts', 'runtime/src/http/rejected.ts']
      .map((path) => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8'))
      .join('\n')
    const problem = z.object({ type: z.string(), title: z.string(), status: z.int() })
    for (const { id, responses } of operations)
      for (const [status, response] of responses) {
        if (response?.type !== 'application/problem+json') continue
        const { type, title, status: shown } = problem.parse(response.example)
        const kind = type.replace('urn:ims:problem:', '')
        expect([id, shown, `${kind}: ${title}`]).toEqual([id, status, `${kind}: ${title}`])
        expect(sources).toMatch(new RegExp(`${kind}'?(: |',\\n +title: )'${title}'`))
      }
  })
})
