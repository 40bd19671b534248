// Parses the parts of the producer's OpenAPI document that tests need.
import { readFileSync } from 'node:fs'
import { z } from 'zod'

const METHODS = ['get', 'head', 'post', 'put', 'patch', 'delete', 'options', 'trace'] as const
const reference = z.object({ $ref: z.string() })
const response = z.object({ content: z.record(z.string(), z.unknown()).optional() })
const operation = z.object({
  operationId: z.string(),
  responses: z.record(z.string(), z.union([reference, response])),
})
const document = z.object({
  openapi: z.literal('3.1.0'),
  paths: z.record(z.string(), z.partialRecord(z.enum(METHODS), operation)),
  components: z.looseObject({ responses: z.record(z.string(), response) }),
})

/** The content types of an operation's responses, by status. An empty list means a response without a body. */
export type Operation = ReadonlyMap<number, readonly string[]>

/** The operations of the document, by path and method in capitals. */
export function documentedOperations(): ReadonlyMap<string, ReadonlyMap<string, Operation>> {
  const { paths, components } = document.parse(
    JSON.parse(readFileSync(new URL('../src/openapi.json', import.meta.url), 'utf8')),
  )
  const resolved = (each: z.infer<typeof reference> | z.infer<typeof response>) =>
    '$ref' in each ? components.responses[each.$ref.replace('#/components/responses/', '')] : each
  return new Map(
    Object.entries(paths).map(([path, operations]) => [
      path,
      new Map(
        Object.entries(operations).map(([method, { responses }]) => [
          method.toUpperCase(),
          new Map(
            Object.entries(responses).map(([status, each]) => [
              Number(status),
              Object.keys(resolved(each)?.content ?? {}),
            ]),
          ),
        ]),
      ),
    ]),
  )
}
