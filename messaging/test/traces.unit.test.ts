// Trace headers: none while traces are off, and only valid ones of the sender are used while they are on.

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

/** Headers that fail the test when anything reads them. */
const untouchable = new Proxy(
  {},
  {
    get(_, name) {
      throw new Error(`header ${String(name)} was read`)
    },
  },
)

afterEach(() => useTracer(undefined))

describe('while traces are off', () => {
  it('sends the very same envelope, without a header more', async () => {
    expect(await sentEnvelope()).toBe(envelope)
    expect(envelope.properties.headers).toEqual({ a: 1 })
  })

  it('passes the very same deliveries to the handler, and reads no header', async () => {
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

describe('while traces are on', () => {
  it('adds the context of the span to the headers of the message', async () => {
    useTracer(tracer, new W3CTraceContextPropagator())
    expect((await sentEnvelope())?.properties.headers).toEqual({ a: 1, traceparent })
    expect(envelope.properties.headers).toEqual({ a: 1 })
  })

  it.each<[string, unknown]>([
    ['nothing', undefined],
    ['a number', 7],
    ['bytes', Buffer.from(traceparent)],
    ['a list', [traceparent]],
    ['a table', { toString: () => traceparent }],
    ['another text', 'hostile'],
    ['a trace id of zeros', `00-${'0'.repeat(32)}-${SPAN_ID}-01`],
    ['the version that is forbidden', `ff-${TRACE_ID}-${SPAN_ID}-01`],
    ['a long text', traceparent.repeat(10_000)],
  ])('has no context for a traceparent that is %s', (_, value) => {
    useTracer(tracer, new W3CTraceContextPropagator())
    expect(contextIn({ traceparent: value })).toBeUndefined()
  })

  it('ignores a tracestate that is not a text, and passes a valid one on', () => {
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
