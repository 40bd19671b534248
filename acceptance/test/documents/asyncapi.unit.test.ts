// docs/asyncapi.yaml is valid AsyncAPI 3, matches the contracts, and has every queue of the suite.
import { readFileSync } from 'node:fs'
import specs from '@asyncapi/specs'
import { queues } from '@ims/accounts/suite'
import { describe, expect, it } from '@jest/globals'
import Ajv from 'ajv'
import { parse } from 'yaml'
import { z } from 'zod'
import { ASYNCAPI_PAGE, asyncapi } from './asyncapi-page.ts'

const text = readFileSync(ASYNCAPI_PAGE, 'utf8')
const read: unknown = parse(text)
const document = z
  .looseObject({
    channels: z.record(z.string(), z.looseObject({ address: z.string().nullable() })),
    operations: z.looseObject({}),
  })
  .parse(read)
// The official schema uses formats that Ajv does not know, such as uri-template.
const isValid = new Ajv({ unknownFormats: 'ignore', schemaId: 'auto' }).compile(specs.schemasWithoutId['3.0.0'] ?? {})

describe('docs/asyncapi.yaml', () => {
  it('is up to date with the contracts: `npx node acceptance/test/documents/asyncapi-page.ts` generates it', () => {
    expect(text).toBe(asyncapi())
  })

  it('is valid AsyncAPI 3', () => {
    isValid(document)
    expect(isValid.errors ?? []).toEqual([])
  })

  it('is not valid with a planted fault in an operation or a channel', () => {
    expect(isValid({ ...document, operations: { bad: { action: 'consume' } } })).toBe(false)
    expect(isValid({ ...document, channels: { bad: { address: 1 } } })).toBe(false)
  })

  it('has no reference without a target', () => {
    const missing = [...text.matchAll(/\$ref: "?#\/([^"\s]+)/g)].filter(([, path = '']) => {
      const found = path
        .split('/')
        .reduce<unknown>((at, key) => z.record(z.string(), z.unknown()).safeParse(at).data?.[key], document)
      return found === undefined
    })
    expect(missing.map(([reference]) => reference)).toEqual([])
  })

  it('has every queue, and the dead-letter queue of every command', () => {
    const addresses = Object.values(document.channels).flatMap(({ address }) => address ?? [])
    const wanted = Object.entries(queues).flatMap(([name, kind]) =>
      kind === 'command' ? [name, `${name}.dead-letter`] : [name],
    )
    expect(addresses.sort()).toEqual(wanted.sort())
  })
})
