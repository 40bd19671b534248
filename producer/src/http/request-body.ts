// The body of a request: read with a limit, decoded, parsed as JSON, and checked by a contract's schema.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { z } from 'zod'
import { jsonText } from './json-text.ts'
import { Problem } from './problem.ts'

/** application/json and application/*+json, in any case, with any parameters. A charset is ignored, as in the Python suite. */
const JSON_TYPE = /^application\/(json|[^\s;]+\+json)\s*(;|$)/i

interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
}

/**
 * Reads the body and returns it as parsed by `schema`.
 * @throws Problem 400 (incomplete, not JSON, or not valid, with every fault), 413 (over `maxBytes`), 415 (compressed, or not JSON by its headers)
 */
export async function readBody<Body>(exchange: Exchange, schema: z.ZodType<Body>, maxBytes: number): Promise<Body> {
  mustBeJson(exchange.request)
  const value = parse(await bytesOf(exchange, maxBytes))
  const { data, error } = schema.safeParse(value, { error: requiredIsRequired })
  if (error === undefined) return data
  const errors = error.issues.map(({ path, message }) => ({ path: path.join('.'), message }))
  const named = [...new Set(errors.map(({ path }) => path || 'the body'))].join(', ')
  throw new Problem(400, 'invalid-body', `Not valid: ${named}.`, { errors })
}

const requiredIsRequired: z.core.$ZodErrorMap = ({ code, input }) =>
  code === 'invalid_type' && input === undefined ? 'is required' : undefined

function mustBeJson({ headers }: IncomingMessage): void {
  const encoding = headers['content-encoding']
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    const detail = 'Compressed bodies are not supported: send the body without Content-Encoding.'
    throw new Problem(415, 'not-json', detail, { headers: { 'Accept-Encoding': 'identity' } })
  }
  if (!JSON_TYPE.test(headers['content-type'] ?? ''))
    throw new Problem(415, 'not-json', 'The header Content-Type must be application/json.')
}

function bytesOf({ request, response }: Exchange, maxBytes: number): Promise<Buffer> {
  // The error is created only when needed, because an error's stack trace costs more than reading the body.
  const tooLarge = () => new Problem(413, 'too-large', `The body may have at most ${maxBytes} bytes.`)
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) return Promise.reject(tooLarge())
  // Sends 100 Continue only now, so that a client that is rejected earlier does not send its body.
  if (request.headers.expect !== undefined) response.writeContinue()
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let length = 0
    request.on('data', (chunk: Buffer) => {
      length += chunk.length
      // Data beyond the limit is read and dropped, so that the client gets the response instead of a reset.
      if (length <= maxBytes) chunks.push(chunk)
      else reject(tooLarge())
    })
    request.on('end', () => {
      resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks))
      // The request stays in memory until its response is sent. Without its listeners, its bytes can be freed now.
      request.removeAllListeners()
    })
    const cutOff = () => {
      if (!request.complete)
        reject(new Problem(400, 'incomplete-body', 'The connection ended before the body was complete.'))
    }
    request.on('error', cutOff)
    request.on('close', cutOff)
  })
}

function parse(bytes: Buffer): unknown {
  if (bytes.length === 0) throw new Problem(400, 'invalid-json', 'The body is empty.')
  const text = jsonText(bytes)
  if (text === undefined) throw new Problem(400, 'invalid-json', 'The body is not valid UTF-8, UTF-16 or UTF-32.')
  try {
    return JSON.parse(text)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new Problem(400, 'invalid-json', `The body is not valid JSON: ${why}`)
  }
}
