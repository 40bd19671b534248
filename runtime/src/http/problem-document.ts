// Problem details (RFC 9457) as bytes, for all responses that the server itself generates.
import type { ServerResponse } from 'node:http'

/** What went wrong, for the client. `kind` ends the URN of its type; `detail` is one sentence without internal information. */
export interface ProblemDocument {
  readonly status: number
  readonly kind: string
  readonly title: string
  readonly detail: string
  readonly headers?: Readonly<Record<string, string>>
  /** Further members of the document. */
  readonly details?: object & { readonly reason?: string }
}

/** The body that describes the problem. */
export const problemBody = ({ status, kind, title, detail, details }: ProblemDocument): string =>
  JSON.stringify({ type: `urn:ims:problem:${kind}`, title, status, detail, ...details })

const sent = new WeakMap<ServerResponse, ProblemDocument>()
/** The problem of a response. Undefined for any other response. */
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
