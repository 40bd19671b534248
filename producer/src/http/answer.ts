// Successful responses: JSON, and the ids of a request and its message.
import type { ServerResponse } from 'node:http'
import { requestIdIn } from '@ims/messaging'

/** Sends `value` as JSON. */
export function sendJson(
  response: ServerResponse,
  status: number,
  value: unknown,
  headers: Record<string, string> = {},
): void {
  const json = JSON.stringify(value)
  const length = Buffer.byteLength(json)
  response.writeHead(status, { ...headers, 'Content-Type': 'application/json', 'Content-Length': length })
  // Sends a string, not bytes, because Node then writes headers and body together.
  response.end(json)
}

/** Sets the header `Message-Id` to the id of a message that the broker has confirmed. */
export function nameMessage(response: ServerResponse, messageId: string): void {
  response.setHeader('Message-Id', messageId)
}

/** The id of the request, from the response headers. The headers of its messages contain it too. */
export const requestIdFor = (response: ServerResponse): string | undefined =>
  requestIdIn(response.getHeader('X-Request-Id'))

/** A signal that aborts when the client disconnects before it has the whole response. Work for that client can then stop. */
export function whenLeft(response: ServerResponse): AbortSignal {
  const left = new AbortController()
  response.once('close', () => {
    if (!response.writableFinished) left.abort()
  })
  return left.signal
}
