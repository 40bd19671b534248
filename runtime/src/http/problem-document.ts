// Problem details (RFC 9457) as bytes, for all error responses that the server itself generates.
import type { ServerResponse } from 'node:http'

/** An error for the client. `kind` is the last part of the URN in `type`. `detail` is one sentence without internal information. */
export interface ProblemDocument {
  readonly status: number
  readonly kind: string
  readonly title: string
  readonly detail: string
  readonly headers?: Readonly<Record<string, string>>
  /** Further members of the document. */
  readonly details?: object & { readonly reason?: string }
}

/** The response body, as JSON. */
export const problemBody = ({ status, kind, title, detail, details }: ProblemDocument): string =>
  JSON.stringify({ type: `urn:ims:problem:${kind}`, title, status, detail, ...details })

const sent = new WeakMap<ServerResponse, ProblemDocument>()
/** The problem that was sent as this response. Undefined if the response is not a problem document. */
export const problemSent = (response: ServerResponse): ProblemDocument | undefined => sent.get(response)

/** Sends a problem. The response must not have started. */
export function sendProblemDocument(response: ServerResponse, problem: ProblemDocument): void {
  sent.set(response, problem)
  const bytes = Buffer.from(problemBody(problem))
  response.writeHead(problem.status, {
    ...problem.headers,
    'Content-Type': 'application/problem+json',
    'Content-Length': bytes.length,
  })
  response.end(bytes)
}
