// A contract: the name of a queue and the schema of its messages, as a command or a query.
import { z } from 'zod'

/** A message that requests a change. The outcome of its handler is sent as a reply if the sender requested one. */
export interface Command<Body = unknown, Result = unknown> {
  readonly kind: 'command'
  readonly queue: string
  readonly body: z.ZodType<Body>
  readonly result: z.ZodType<Result>
}

/**
 * A message that requests data. `reply` is the schema of the reply body, `headers` the schema of the request headers.
 * A request for which `isLarge` returns true is large. A consumer handles only one large request at a time, and may handle
 * other requests meanwhile. Identical requests that are waiting share one call of the handler. If `togetherMax` is set, up
 * to that many different requests share one call too, unless they are large.
 */
export interface Query<Reply = unknown> {
  readonly kind: 'query'
  readonly queue: string
  readonly body: z.ZodType<unknown>
  readonly reply: z.ZodType<Reply>
  readonly headers: z.ZodType<unknown>
  isLarge?(headers: Readonly<Record<string, unknown>>): boolean
  readonly togetherMax?: number
}

export type Contract<Body = unknown, Result = unknown> =
  | Command<Body, Result>
  | (Query<Result> & { body: z.ZodType<Body> })

/** Defines a command: the queue's name, the body's schema, and the schema of the result in the optional reply. */
export function command<Body, Result>(
  queue: string,
  shape: { body: z.ZodType<Body>; result: z.ZodType<Result> },
): Command<Body, Result> {
  return { kind: 'command', queue, body: shape.body, result: shape.result }
}

/**
 * Defines a query: the queue's name and the schemas of the request body and the reply. Optional: the schema of the request
 * headers, which requests are large, and how many different requests may share one call of the handler.
 */
export function query<Reply>(
  queue: string,
  shape: Pick<Query<Reply>, 'body' | 'reply' | 'isLarge' | 'togetherMax'> & { headers?: z.ZodType<unknown> },
): Query<Reply> {
  return { kind: 'query', queue, headers: z.unknown(), ...shape }
}

/** The name of the dead-letter queue of `queue`: `<queue>.dead-letter`. */
export function deadLetterQueue(queue: string): string {
  return `${queue}.dead-letter`
}

const oneOf = z.union([
  z.object({ const: z.string() }).transform((schema) => [schema.const]),
  z.object({ enum: z.array(z.string()) }).transform((schema) => schema.enum),
])
const withOutcome = z.object({ properties: z.object({ outcome: oneOf }) })

/** The values of `outcome` that the schema of a command's result allows. Empty for a query, or if `outcome` is missing or may be any string. */
export function outcomesOf(contract: Contract): readonly string[] {
  if (contract.kind === 'query') return []
  const schema = z.toJSONSchema(contract.result, { unrepresentable: 'any', io: 'input' })
  return withOutcome.safeParse(schema).data?.properties.outcome ?? []
}
