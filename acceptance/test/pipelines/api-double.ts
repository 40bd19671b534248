// A test double of the API: it handles the four original calls in memory, correctly or with one fault.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { z } from 'zod'

/** The fault. With `slow`, a change is visible only in the third listing after it, which is still correct behaviour. */
export type Flaw = 'none' | 'slow' | 'not ready' | 'empty responses' | 'loses items' | 'keeps items' | 'wrong price'

const item = z.object({
  sku: z.string().max(20),
  name: z.string(),
  label: z.string(),
  price: z.number(),
  quantity: z.int(),
})
const listen = z.object({ port: z.int() })

export interface ApiDouble extends AsyncDisposable {
  readonly url: string
  /** The received calls, such as `POST /create_item`, without their query. */
  readonly calls: readonly string[]
  /** The skus of the items that are stored now. */
  skus(): string[]
}

export async function startApiDouble(flaw: Flaw): Promise<ApiDouble> {
  const items = new Map<string, z.infer<typeof item>>()
  const calls: string[] = []
  let listings = 0
  const changed = () => {
    listings = 0
  }
  const isSeen = () => flaw !== 'slow' || ++listings >= 3

  const create = (body: unknown) => {
    const { sku, price, ...rest } = item.parse(body)
    if (flaw !== 'loses items') items.set(sku, { sku, price: flaw === 'wrong price' ? price + 1 : price, ...rest })
    changed()
    return { message: 'Create item message sent' }
  }
  const remove = (body: unknown) => {
    if (flaw !== 'keeps items') items.delete(z.object({ sku: z.string() }).parse(body).sku)
    changed()
    return { message: 'Stock management (item delete) message sent' }
  }
  let listed: unknown[] = []
  const list = (sku: string | null) => {
    if (isSeen()) listed = [...items.values()].filter((one) => one.sku === sku)
    return listed
  }

  const server = createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://any')
    const call = `${request.method} ${pathname}`
    calls.push(call)
    if (flaw === 'not ready') return send(response, 503, { title: 'Service Unavailable', detail: 'broker down' })
    if (flaw === 'empty responses') return send(response, 200, {})
    if (call === 'GET /healthcheck') return send(response, 200, { message: 'Health check message sent' })
    if (call === 'POST /create_item') return send(response, 200, create(await bodyOf(request)))
    if (call === 'GET /order_processing') return send(response, 200, list(searchParams.get('sku')))
    if (call === 'POST /stock_management') return send(response, 200, remove(await bodyOf(request)))
    return send(response, 404, { title: 'Not Found' })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = listen.parse(server.address())
  return {
    url: `http://127.0.0.1:${port}`,
    calls,
    skus: () => [...items.keys()],
    async [Symbol.asyncDispose]() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body))
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  return JSON.parse(Buffer.concat(chunks).toString())
}
