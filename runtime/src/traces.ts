// The tracer of the process, and the context of new spans. There is a tracer only while traces are exported.
import { AsyncLocalStorage } from 'node:async_hooks'
import {
  type Context,
  defaultTextMapGetter,
  defaultTextMapSetter,
  ROOT_CONTEXT,
  type Span,
  SpanStatusCode,
  type TextMapPropagator,
  type Tracer,
  trace,
} from '@opentelemetry/api'
import { z } from 'zod'

let current: Tracer | undefined
let propagator: TextMapPropagator | undefined
const active = new AsyncLocalStorage<Context>()

/** Undefined while traces are off. Callers check this first, so that tracing costs nothing when it is off. */
export const tracer = (): Tracer | undefined => current

/** Sets the tracer, or removes it. `by` reads and writes the headers that carry the context between processes. */
export function useTracer(used: Tracer | undefined, by?: TextMapPropagator): void {
  current = used
  propagator = by
}

/** The context of the current request or message. Undefined if there is none. */
export const activeContext = (): Context | undefined => active.getStore()

/** Runs `work`, and every asynchronous operation that it starts, in `context`. */
export const within = <T>(context: Context, work: () => T): T => active.run(context, work)

/** Runs the rest of the current callback, and every asynchronous operation that it starts, in the context of `span`. */
export const enter = (span: Span): void => active.enterWith(trace.setSpan(ROOT_CONTEXT, span))

/** Ends `span`. `error` is the value of its attribute `error.type`. */
export function endSpan(span: Span, error?: string): void {
  if (error !== undefined) span.setAttribute('error.type', error).setStatus({ code: SpanStatusCode.ERROR })
  span.end()
}

/** The propagator expects strings. Without a string in `traceparent` there is no context. A `tracestate` that is not a string is ignored. */
const headersOfTrace = z.object({ traceparent: z.string(), tracestate: z.string().optional().catch(undefined) })

/** The sender's context (W3C Trace Context). Undefined if the headers are not valid, or while traces are off. */
export function contextIn(headers: unknown): Context | undefined {
  const { data } = headersOfTrace.safeParse(headers)
  const context = data && propagator?.extract(ROOT_CONTEXT, data, defaultTextMapGetter)
  return context && trace.getSpanContext(context) && context
}

/** The headers that carry the context of `span` to another process. */
export function headersOf(span: Span): Record<string, string> {
  const headers: Record<string, string> = {}
  propagator?.inject(trace.setSpan(ROOT_CONTEXT, span), headers, defaultTextMapSetter)
  return headers
}
