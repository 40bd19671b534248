// An OTLP/HTTP receiver that keeps the received spans.
import { createServer, type Server } from 'node:http'
import { json } from 'node:stream/consumers'
import { z } from 'zod'

const value = z.object({ stringValue: z.string() }).or(z.record(z.string(), z.unknown()))
const attribute = z.object({ key: z.string(), value })
const span = z.object({
  traceId: z.string(),
  spanId: z.string(),
  parentSpanId: z.string().optional(),
  name: z.string(),
  kind: z.int(),
  attributes: z.array(attribute).default([]),
  links: z.array(z.object({ traceId: z.string(), spanId: z.string() })).default([]),
})
const exported = z.object({
  resourceSpans: z.array(
    z.object({
      resource: z.object({ attributes: z.array(attribute) }),
      scopeSpans: z.array(z.object({ spans: z.array(span) })),
    }),
  ),
})

export interface ReceivedSpan extends Omit<z.output<typeof span>, 'attributes'> {
  readonly service: unknown
  readonly attributes: Readonly<Record<string, unknown>>
}

const asRecord = (attributes: readonly z.output<typeof attribute>[]) =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]))

export const endpointOf = (server: Server): string =>
  `http://127.0.0.1:${z.object({ port: z.int() }).parse(server.address()).port}`

export async function startOtlpReceiver() {
  const spans: ReceivedSpan[] = []
  const server = createServer(async (request, response) => {
    for (const { resource, scopeSpans } of exported.parse(await json(request)).resourceSpans)
      for (const each of scopeSpans.flatMap((scope) => scope.spans))
        spans.push({
          ...each,
          attributes: asRecord(each.attributes),
          service: asRecord(resource.attributes)['service.name'],
        })
    response.writeHead(200, { 'Content-Type': 'application/json' }).end('{}')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    endpoint: endpointOf(server),
    spans,
    close: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}
