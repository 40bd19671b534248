// Trace headers: while traces are off, none is added or read. While they are on, only valid headers of the sender are used.
import { contextIn, useTracer } from '@ims/runtime/traces'
import { afterEach, describe, expect, it } from '@jest/globals'
import { type Tracer, trace } from '@opentelemetry/api'
import { W3CTraceContextPropagator } from '@opentelemetry/core'
import type { Envelope } from '../src/outgoing/publisher.ts'
import { traced, traceReply, traceSending } from '../src/traces.ts'

const TRACE_ID = '0af7651916cd43dd8448eb211c80319c'
const SPAN_ID = '00f067aa0ba902b7'
const traceparent = `00-${TRACE_ID}-${SPAN_ID}-01`
const envelope: Envelope = { queue: 'create_item', content: Buffer.from('{}'), properties: { headers: { a: 1 } } }

/** A tracer whose spans all belong to the sender's context. */
const tracer = {
  startSpan: () =>
    Object.assign(trace.wrapSpanContext({ traceId: TRACE_ID, spanId: SPAN_ID, traceFlags: 1 }), { end() {} }),
} as unknown as Tracer

const sentEnvelope = async () => {
  let sent: Envelope | undefined
  await traceSending(envelope, undefined, async (traced) => {
    sent = traced
  })
  return sent
}

/** Headers that throw when one is read. */
const untouchable = new Proxy(
  {},
  {
    get(_, name) {
      throw new Error(`header ${String(name)} was read`)
    },
  },
)

afterEach(() => useTracer(undefined))

describe('messaging while traces are off', () => {
  it('sends the same envelope object, without an additional header', async () => {
    expect(await sentEnvelope()).toBe(envelope)
    expect(envelope.properties.headers).toEqual({ a: 1 })
  })

  it('passes the same deliveries array to the handler, and reads no header', async () => {
    const deliveries = [
      { body: {}, messageId: '1', redelivered: false, redrives: 0, fingerprint: '', headers: untouchable },
    ]
    let handled: unknown
    await traced('create_item', async (given) => {
      handled = given
      return []
    })(deliveries)
    expect(handled).toBe(deliveries)
    traceReply(untouchable)
  })
})

describe('messaging while traces are on', () => {
  it('adds the context of the span to the headers of the message, without changing the given envelope', async () => {
    useTracer(tracer, new W3CTraceContextPropagator())
    expect((await sentEnvelope())?.properties.headers).toEqual({ a: 1, traceparent })
    expect(envelope.properties.headers).toEqual({ a: 1 })
  })

  it.each<[string, unknown]>([
    ['missing', undefined],
    ['a number', 7],
    ['bytes', Buffer.from(traceparent)],
    ['a list', [traceparent]],
    ['a table', { toString: () => traceparent }],
    ['in another format', 'hostile'],
    ['all zeros in its trace id', `00-${'0'.repeat(32)}-${SPAN_ID}-01`],
    ['of the forbidden version ff', `ff-${TRACE_ID}-${SPAN_ID}-01`],
    ['too long', traceparent.repeat(10_000)],
  ])('ignores a traceparent that is %s', (_, value) => {
    useTracer(tracer, new W3CTraceContextPropagator())
    expect(contextIn({ traceparent: value })).toBeUndefined()
  })

  it('ignores a tracestate that is not a string, and keeps a valid one', () => {
    useTracer(tracer, new W3CTraceContextPropagator())
    const stateIn = (tracestate: unknown) => {
      const context = contextIn({ traceparent, tracestate })
      expect(context && trace.getSpanContext(context)).toMatchObject({ traceId: TRACE_ID, spanId: SPAN_ID })
      return context && trace.getSpanContext(context)?.traceState?.serialize()
    }
    for (const hostile of [7, [], {}, Buffer.from('a=b')]) expect(stateIn(hostile)).toBeUndefined()
    expect(stateIn('a=b')).toBe('a=b')
  })
})
