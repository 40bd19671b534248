// Answers on success: JSON, and the id of the message by which a command can be followed.
import type { ServerResponse } from 'node:http'
import type { Response } from 'express'

/** Sends `value` as JSON. */
export function sendJson(
  response: Response,
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
export function nameMessage(response: Response, messageId: string): void {
  response.setHeader('Message-Id', messageId)
}

/** Breaks the connection of an answer that has begun. With a reset, because in HTTP/1.0 a close is the end of a whole answer. */
export function cutOff(response: ServerResponse): void {
  response.socket?.resetAndDestroy()
  response.destroy()
}
