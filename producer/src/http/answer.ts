// Successful responses: JSON, and the ids by which a request and its message can be tracked.
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
  // As text, not bytes, because Node then writes headers and body at once.
  response.end(json)
}

/** Sets the id of the message that the broker has confirmed, in whatever response follows. */
export function nameMessage(response: ServerResponse, messageId: string): void {
  response.setHeader('Message-Id', messageId)
}

/** The id of the request, which its response carries already. The headers of its messages carry it too. */
export const requestIdFor = (response: ServerResponse): string | undefined =>
  requestIdIn(response.getHeader('X-Request-Id'))

/** Aborts when the client disconnects before it got a response, so that nothing waits any longer. */
export function whenLeft(response: ServerResponse): AbortSignal {
  const left = new AbortController()
  response.once('close', () => {
    if (!response.writableFinished) left.abort()
  })
  return left.signal
}
