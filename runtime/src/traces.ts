// The process's tracer, and the context that new spans belong to. There is no tracer unless traces are exported.
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

/** Undefined while traces are off. Callers check it first, so that they do nothing else then. */
export const tracer = (): Tracer | undefined => current

/** `by` reads and writes the headers that carry the context from process to process. */
export function useTracer(used: Tracer | undefined, by?: TextMapPropagator): void {
  current = used
  propagator = by
}

/** The context of the request or message in hand. Undefined outside of both. */
export const activeContext = (): Context | undefined => active.getStore()

/** Runs `work`, and all that it starts, in `context`. */
export const within = <T>(context: Context, work: () => T): T => active.run(context, work)

/** The rest of the current callback, and all that it starts, belongs to `span`. */
export const enter = (span: Span): void => active.enterWith(trace.setSpan(ROOT_CONTEXT, span))

/** Ends `span`. `error` is a short name of what failed. */
export function endSpan(span: Span, error?: string): void {
  if (error !== undefined) span.setAttribute('error.type', error).setStatus({ code: SpanStatusCode.ERROR })
  span.end()
}

/** The propagator reads texts only. Without a `traceparent` that is one, there is no context; a `tracestate` that is not one is ignored. */
const headersOfTrace = z.object({ traceparent: z.string(), tracestate: z.string().optional().catch(undefined) })

/** The sender's context (W3C Trace Context). Anybody may have sent the headers: undefined unless they are valid. */
export function contextIn(headers: unknown): Context | undefined {
  const { data } = headersOfTrace.safeParse(headers)
  const context = data && propagator?.extract(ROOT_CONTEXT, data, defaultTextMapGetter)
  return context && trace.getSpanContext(context) && context
}

/** The headers that pass `span` on. */
export function headersOf(span: Span): Record<string, string> {
  const headers: Record<string, string> = {}
  propagator?.inject(trace.setSpan(ROOT_CONTEXT, span), headers, defaultTextMapSetter)
  return headers
}
