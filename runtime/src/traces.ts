// The process's tracer, and the context that new spans belong to. There is no tracer unless traces are exported.
import { AsyncLocalStorage } from 'node:async_hooks'
import {
  type Context,
  createTraceState,
  ROOT_CONTEXT,
  type Span,
  SpanStatusCode,
  TraceFlags,
  type Tracer,
  trace,
} from '@opentelemetry/api'
import { z } from 'zod'

let current: Tracer | undefined
const active = new AsyncLocalStorage<Context>()

/** Undefined while traces are off. Callers check it first, so that they do nothing else then. */
export const tracer = (): Tracer | undefined => current

export function useTracer(used: Tracer | undefined): void {
  current = used
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

const TRACE_STATE_MAX_LENGTH = 512
const headersOfTrace = z.object({
  traceparent: z.string().regex(/^00-(?!0{32})[\da-f]{32}-(?!0{16})[\da-f]{16}-[\da-f]{2}$/),
  tracestate: z.string().max(TRACE_STATE_MAX_LENGTH).optional().catch(undefined),
})

/** The sender's context (W3C Trace Context). Anybody may have sent the headers: undefined unless they are valid. */
export function contextIn(headers: unknown): Context | undefined {
  const { data } = headersOfTrace.safeParse(headers)
  if (data === undefined) return undefined
  const [, traceId = '', spanId = '', flags = ''] = data.traceparent.split('-')
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId,
    spanId,
    traceFlags: Number.parseInt(flags, 16) & TraceFlags.SAMPLED,
    isRemote: true,
    ...(data.tracestate === undefined ? {} : { traceState: createTraceState(data.tracestate) }),
  })
}

/** The headers that pass `span` on. */
export function headersOf(span: Span): Record<string, string> {
  const { traceId, spanId, traceFlags, traceState } = span.spanContext()
  const state = traceState?.serialize()
  return {
    traceparent: `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`,
    ...(state ? { tracestate: state } : {}),
  }
}
