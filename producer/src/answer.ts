// Answers on success: JSON, and the id of the message by which a command can be followed.
import type { Response } from 'express'

/** Sends `value` as JSON. */
export function sendJson(
  response: Response,
  status: number,
  value: unknown,
  headers: Record<string, string> = {},
): void {
  const bytes = Buffer.from(JSON.stringify(value))
  response.writeHead(status, { ...headers, 'Content-Type': 'application/json', 'Content-Length': bytes.length })
  response.end(bytes)
}

/** Names the message that the broker has confirmed, in whatever is answered afterwards. */
export function nameMessage(response: Response, messageId: string): void {
  response.setHeader('Message-Id', messageId)
}
