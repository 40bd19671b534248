// Parses the producer's OpenAPI document: each operation with its request and its responses.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'

export const OPENAPI = join(import.meta.dirname, '../../../producer/src/openapi.json')

const METHODS = ['get', 'head', 'post', 'put', 'patch', 'delete', 'options', 'trace'] as const

const reference = z.strictObject({ $ref: z.string() })
const content = z.record(z.string(), z.object({ schema: z.unknown(), example: z.unknown().optional() }))
const parameter = z.object({
  name: z.string(),
  in: z.enum(['path', 'query', 'header']),
  example: z.unknown().optional(),
})
const response = z.object({ content: content.optional() })
const operation = z.object({
  operationId: z.string(),
  tags: z.tuple([z.string()]),
  parameters: z.array(z.union([reference, parameter])).default([]),
  requestBody: z.object({ content }).optional(),
  responses: z.record(z.string(), z.union([reference, response])),
})
const document = z.object({
  paths: z.record(z.string(), z.partialRecord(z.enum(METHODS), operation)),
  components: z.looseObject({
    parameters: z.record(z.string(), parameter),
    responses: z.record(z.string(), response),
  }),
})

export interface ResponseExample {
  readonly type: string
  readonly example: unknown
  /** A reference to its schema in the document. */
  readonly schema: string
}

export interface Operation {
  readonly id: string
  readonly path: string
  readonly method: string
  readonly tag: string
  readonly parameters: readonly z.infer<typeof parameter>[]
  readonly body: unknown
  /** The example of each response, by status. Undefined if the response has no body. */
  readonly responses: ReadonlyMap<number, ResponseExample | undefined>
  /** The parameters, body and responses that have no example. */
  readonly withoutExample: readonly string[]
}

/** The whole document, and its operations in order. */
export function openApi(): { whole: object; operations: readonly Operation[] } {
  const whole: unknown = JSON.parse(readFileSync(OPENAPI, 'utf8'))
  const { paths, components } = document.parse(whole)
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { operationId: id, tags, requestBody, ...rest }]): Operation => {
      const parameters = rest.parameters.map((each) =>
        '$ref' in each ? parameter.parse(components.parameters[nameIn(each)]) : each,
      )
      const responses = new Map(
        Object.entries(rest.responses).map(([status, each]) => {
          const at =
            '$ref' in each ? ['components', 'responses', nameIn(each)] : ['paths', path, method, 'responses', status]
          const { content = {} } = '$ref' in each ? response.parse(components.responses[nameIn(each)]) : each
          const [type] = Object.keys(content)
          if (type === undefined) return [Number(status), undefined]
          const schema = `#/${[...at, 'content', type, 'schema'].map(escaped).join('/')}`
          return [Number(status), { type, example: content[type]?.example, schema }]
        }),
      )
      const body = requestBody?.content['application/json']?.example
      const withoutExample = [
        ...parameters.filter(({ example }) => example === undefined).map(({ name }) => `parameter ${name}`),
        ...(requestBody && body === undefined ? ['request body'] : []),
        ...[...responses]
          .filter(([, response]) => response && response.example === undefined)
          .map(([status]) => `${status}`),
      ]
      const [tag] = tags
      return { id, path, method: method.toUpperCase(), tag, parameters, body, responses, withoutExample }
    }),
  )
  return { whole: z.looseObject({}).parse(whole), operations }
}

const nameIn = ({ $ref }: z.infer<typeof reference>): string => $ref.split('/').at(-1) ?? ''
/** Escapes a name for a JSON pointer in a URI fragment. */
const escaped = (name: string): string => encodeURIComponent(name.replaceAll('~', '~0').replaceAll('/', '~1'))
