// Answers on success: JSON, and the id of the message by which a command can be followed.
import type { ServerResponse } from 'node:http'

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
  // As text, not bytes: Node then writes headers and body at once.
  response.end(json)
}

/** Names the message that the broker has confirmed, in whatever is answered afterwards. */
export function nameMessage(response: ServerResponse, messageId: string): void {
  response.setHeader('Message-Id', messageId)
}

/** Aborts when the client has left before it was answered: nobody waits for anything any more. */
export function whenLeft(response: ServerResponse): AbortSignal {
  const left = new AbortController()
  response.once('close', () => {
    if (!response.writableFinished) left.abort()
  })
  return left.signal
}
