// The HTTP client of `import` and `export`. A request ends with a response, or with the reason why there is none.
import type { IncomingHttpHeaders } from 'node:http'
import { Pool } from 'undici'
import type { ApiSettings } from './settings.ts'

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
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

/** There is no response: the connection failed or was lost, or the request timed out. Whether the request had an effect is unknown. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer'
}

export interface ApiClient {
  /** @throws NoAnswer */
  call(request: ApiRequest): Promise<Answer>
  close(): Promise<void>
}

/** Time without data after which a request fails. By default, the API responds within 30 seconds. */
const SILENCE_MAX_MS = 45_000

/** Sends at most `connections` requests at once. Further requests wait. */
export function openApi({ url, key }: ApiSettings, connections: number): ApiClient {
  const pool = new Pool(url.origin, { connections, headersTimeout: SILENCE_MAX_MS, bodyTimeout: SILENCE_MAX_MS })
  const prefix = url.pathname.replace(/\/$/, '')
  const authorization = key === undefined ? {} : { Authorization: `Bearer ${key}` }
  return {
    call: async ({ method, path, headers, body = null, signal }) => {
      const sent = { ...authorization, ...headers }
      try {
        const options = { method, path: prefix + path, headers: sent, body, ...(signal ? { signal } : {}) }
        const answer = await pool.request(options)
        return { status: answer.statusCode, headers: answer.headers, text: await answer.body.text() }
      } catch (error) {
        throw new NoAnswer(error instanceof Error ? error.message : String(error), { cause: error })
      }
    },
    close: async () => await pool.destroy(),
  }
}
