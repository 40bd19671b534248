// The HTTP client of `import` and `export`: connections that are kept alive, one answer or a reason why there is none.
import http from 'node:http'
import https from 'node:https'
import type { ApiSettings } from './settings.ts'

export interface Answer {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly text: string
}

export interface ApiRequest {
  readonly method: 'GET' | 'POST'
  /** Path and query. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  readonly signal?: AbortSignal
}

/** No answer: the connection failed, was cut, or nothing came in time. Whether the request had an effect is unknown. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer'
}

export interface ApiClient {
  /** @throws NoAnswer */
  call(request: ApiRequest): Promise<Answer>
  close(): void
}

/** Longer than the API lets a request wait for its outcome. */
const SILENCE_MAX_MS = 45_000

/** At most `connections` requests at once; further ones wait for their turn. */
export function openApi({ url, key }: ApiSettings, connections: number): ApiClient {
  const { Agent, request: send } = url.protocol === 'https:' ? https : http
  const agent = new Agent({ keepAlive: true, maxSockets: connections, maxFreeSockets: connections })
  const prefix = url.pathname.replace(/\/$/, '')
  const authorization = key === undefined ? {} : { Authorization: `Bearer ${key}` }
  const call = ({ method, path, headers, body, signal }: ApiRequest) =>
    new Promise<Answer>((resolve, reject) => {
      const failed = (error: Error) => reject(new NoAnswer(error.message, { cause: error }))
      const sized = body === undefined ? {} : { 'Content-Length': String(Buffer.byteLength(body)) }
      const request = send(
        {
          protocol: url.protocol,
          hostname: url.hostname.replace(/^\[|\]$/g, ''),
          port: url.port,
          path: prefix + path,
          method,
          agent,
          timeout: SILENCE_MAX_MS,
          headers: { ...authorization, ...sized, ...headers },
          ...(signal === undefined ? {} : { signal }),
        },
        (response) => {
          const chunks: Buffer[] = []
          response.on('data', (chunk: Buffer) => chunks.push(chunk))
          response.once('error', failed)
          response.once('end', () =>
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers,
              text: Buffer.concat(chunks).toString(),
            }),
          )
        },
      )
      request.once('timeout', () => request.destroy(new Error(`nothing came for ${SILENCE_MAX_MS / 1_000} s`)))
      request.once('error', failed)
      request.end(body)
    })
  return { call, close: () => agent.destroy() }
}
