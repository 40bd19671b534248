// The SERVER span of a request. It continues the client's trace (`traceparent`) and is the parent of the message spans.
import type { IncomingMessage } from 'node:http'
import { contextIn, endSpan, enter, tracer } from '@ims/runtime/traces'
import { ROOT_CONTEXT, type Span, SpanKind } from '@opentelemetry/api'

/** Starts the span and makes it the current one. Undefined while traces are off. The span has no path, because clients can send any. */
export function startRequestSpan(
  request: IncomingMessage,
  method: string,
  route: string,
  requestId: string,
): Span | undefined {
  const by = tracer()
  if (by === undefined) return undefined
  const attributes = {
    // The value of the semantic conventions for an unknown method.
    'http.request.method': method === 'other' ? '_OTHER' : method,
    'http.route': route,
    'url.scheme': 'http',
    'ims.request.id': requestId,
  }
  const parent = contextIn(request.headers) ?? ROOT_CONTEXT
  const span = by.startSpan(`${method} ${route}`, { kind: SpanKind.SERVER, attributes }, parent)
  enter(span)
  return span
}

/** Ends the span, with the status and the id of the message. */
export function endRequestSpan(span: Span, status: number, messageId: unknown): void {
  span.setAttribute('http.response.status_code', status)
  if (typeof messageId === 'string') span.setAttribute('messaging.message.id', messageId)
  endSpan(span, status >= 500 ? String(status) : undefined)
}
