// The admin port: /livez, /readyz and /metrics, for probes and for Prometheus.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Registry } from 'prom-client'
import { z } from 'zod'
import { listen } from './listen.ts'
import type { Meter } from './metrics.ts'

export const adminEnvironment = (fallbackPort: number) =>
  z
    .object({
      ADMIN_PORT: z
        .string()
        .regex(/^\d+$/, 'must be a whole number')
        .transform(Number)
        .pipe(z.int().min(0).max(65_535))
        .default(fallbackPort)
        .describe('port of /livez, /readyz and /metrics (0: any free one)'),
      ADMIN_HOST: z.string().min(1).default('127.0.0.1').describe('address that the admin port listens on'),
    })
    .transform((v) => ({ port: v.ADMIN_PORT, host: v.ADMIN_HOST }))

export interface AdminPort {
  readonly port: number
  close(): Promise<void>
}

/**
 * Listens on the admin port. `/livez` answers as long as the event loop does and asks nothing of broker or database;
 * `/readyz` answers 503 with every reason of `reasons`, or 200 when there is none; `/metrics` measures the same as `ready`.
 * @throws PortTaken
 */
export async function openAdminPort(
  { host, port }: { host: string; port: number },
  { meter, registry }: { meter: Meter; registry: Registry },
  reasons: () => Promise<readonly string[]>,
): Promise<AdminPort> {
  const pages: Record<string, (response: ServerResponse) => Promise<void>> = {
    '/livez': async (response) => json(response, 200, { status: 'alive' }),
    '/readyz': async (response) => {
      const notReady = await reasons()
      json(
        response,
        notReady.length === 0 ? 200 : 503,
        notReady.length === 0 ? { status: 'ready' } : { status: 'not ready', reasons: notReady },
      )
    },
    '/metrics': async (response) => {
      meter.observe('ready', (await reasons()).length === 0 ? 1 : 0)
      const text = await registry.metrics()
      response.writeHead(200, { 'content-type': registry.contentType }).end(text)
    },
  }
  const server = createServer((request, response) => {
    answer(pages, request, response).catch(() => response.destroy())
  })
  const listened = await listen(server, { host, port, variable: 'ADMIN_PORT' })
  return {
    port: listened,
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

async function answer(
  pages: Record<string, (response: ServerResponse) => Promise<void>>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = request.url?.split('?', 1)[0] ?? '/'
  const page = Object.hasOwn(pages, path) ? pages[path] : undefined
  if (page === undefined) return json(response, 404, { error: 'no such page: /livez, /readyz and /metrics are there' })
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD')
    return json(response, 405, { error: 'only GET and HEAD' })
  }
  await page(response)
}

function json(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`)
}
