// Spans for sending and processing messages. The AMQP headers `traceparent` and `tracestate` carry the trace context.
import { activeContext, contextIn, endSpan, headersOf, tracer, within } from '@ims/runtime/traces'
import { type Attributes, type Context, type Link, ROOT_CONTEXT, type Span, SpanKind, trace } from '@opentelemetry/api'
import type { Delivery, Handler, Outcome } from './handler.ts'
import { requestIdOf } from './origin.ts'
import type { Envelope } from './outgoing/publisher.ts'

/** Maximum links of a span: the default of the SDK and of many backends. A batch can have more messages. */
const LINKS_MAX = 128

/** The context in which a message was last processed. The key is its headers: the same object from arrival to acknowledgement. */
const processedIn = new WeakMap<object, Context>()

/** The message with its trace context, and the span that ends when the broker has confirmed it. */
interface Sending {
  readonly envelope: Envelope
  readonly span: Span
}

/** Starts the PRODUCER span of a message. Undefined while traces are off. `cause`: the headers of the message that caused this one. */
function startSending(envelope: Envelope, cause?: object): Sending | undefined {
  const by = tracer()
  if (by === undefined) return undefined
  const { queue, content, properties } = envelope
  // Reply queues have random names, which would create a span name for each requester.
  const isReply = queue.startsWith('amq.')
  const attributes = {
    ...messagingAttributes(isReply ? '(temporary)' : queue, 'send', properties.messageId),
    'messaging.message.body.size': content.length,
    ...(isReply ? { 'messaging.destination.temporary': true } : {}),
  }
  const parent = cause === undefined ? activeContext() : (processedIn.get(cause) ?? contextIn(cause))
  const name = `send ${isReply ? '(temporary)' : queue}`
  const span = by.startSpan(name, { kind: SpanKind.PRODUCER, attributes }, parent ?? ROOT_CONTEXT)
  const headers = { ...properties.headers, ...headersOf(span) }
  return { envelope: { ...envelope, properties: { ...properties, headers } }, span }
}

/** Passes `envelope` to `send` in a PRODUCER span, or unchanged while traces are off. */
export function traceSending<T>(
  envelope: Envelope,
  cause: object | undefined,
  send: (envelope: Envelope) => Promise<T>,
): Promise<T> {
  const sending = startSending(envelope, cause)
  return sending === undefined ? send(envelope) : sendInSpan(sending, send)
}

async function sendInSpan<T>({ envelope, span }: Sending, send: (envelope: Envelope) => Promise<T>): Promise<T> {
  let error: string | undefined
  try {
    return await send(envelope)
  } catch (thrown) {
    error = nameOf(thrown)
    throw thrown
  } finally {
    endSpan(span, error)
  }
}

/** Records a short span for a received reply, as a child of the span that sent it. */
export function traceReply(headers: unknown): void {
  const parent = tracer() && contextIn(headers)
  if (parent === undefined) return
  const attributes = messagingAttributes('(temporary)', 'process', undefined)
  tracer()?.startSpan('process (temporary)', { kind: SpanKind.CONSUMER, attributes }, parent).end()
}

/**
 * Wraps a handler in spans. Each message has a `process` span in the trace of its sender. A message without a trace context
 * starts a new trace. A redriven message also starts one, with a link to its old trace. A batch of several messages has a
 * `receive` span with links to their senders, and the `process` spans link to it.
 */
export function traced<Body, Result>(queue: string, handler: Handler<Body, Result>): Handler<Body, Result> {
  return (deliveries) => (tracer() === undefined ? handler(deliveries) : handleInSpans(deliveries))

  async function handleInSpans(deliveries: readonly Delivery<Body>[]): Promise<readonly Outcome<Result>[]> {
    const batch = deliveries.length > 1 ? startBatch(queue, deliveries) : undefined
    const links = batch ? [{ context: batch.spanContext() }] : []
    const spans = deliveries.map((delivery) => startProcess(queue, delivery, links))
    const lead = batch ?? spans[0]
    const context = lead ? trace.setSpan(ROOT_CONTEXT, lead) : ROOT_CONTEXT
    try {
      const outcomes = await within(context, () => handler(deliveries))
      for (const [index, span] of spans.entries()) endWith(span, outcomes[index])
      if (batch) endSpan(batch)
      return outcomes
    } catch (error) {
      for (const span of [...spans, ...(batch ? [batch] : [])]) endSpan(span, nameOf(error))
      throw error
    }
  }
}

function startBatch(queue: string, deliveries: readonly Delivery[]): Span | undefined {
  const attributes = {
    ...messagingAttributes(queue, 'receive', undefined),
    'messaging.batch.message_count': deliveries.length,
  }
  const links: Link[] = []
  for (const { headers } of deliveries) {
    if (links.length >= LINKS_MAX) break
    links.push(...linkTo(contextIn(headers)))
  }
  return tracer()?.startSpan(`receive ${queue}`, { kind: SpanKind.CLIENT, attributes, links }, ROOT_CONTEXT)
}

function startProcess(queue: string, { headers, messageId, redelivered, redrives }: Delivery, links: Link[]): Span {
  const sender = contextIn(headers)
  const isRedriven = redrives > 0
  const requestId = requestIdOf(headers)
  const attributes = {
    ...messagingAttributes(queue, 'process', messageId),
    'ims.message.redelivered': redelivered,
    'ims.message.redrives': redrives,
    ...(requestId === undefined ? {} : { 'ims.request.id': requestId }),
  }
  const span = (tracer() ?? trace.getTracer('ims')).startSpan(
    `process ${queue}`,
    { kind: SpanKind.CONSUMER, attributes, links: [...links, ...(isRedriven ? linkTo(sender) : [])] },
    (isRedriven ? undefined : sender) ?? ROOT_CONTEXT,
  )
  processedIn.set(headers, trace.setSpan(ROOT_CONTEXT, span))
  return span
}

function endWith(span: Span, outcome: Outcome | undefined): void {
  if (outcome !== undefined)
    span.setAttribute('ims.outcome', outcome.kind === 'applied' && outcome.repeated ? 'repeated' : outcome.kind)
  endSpan(span, outcome?.kind === 'refused' ? outcome.reason : undefined)
}

function linkTo(sender: Context | undefined): Link[] {
  const context = sender && trace.getSpanContext(sender)
  return context === undefined ? [] : [{ context }]
}

const messagingAttributes = (
  queue: string,
  operation: 'send' | 'receive' | 'process',
  messageId: unknown,
): Attributes => ({
  'messaging.system': 'rabbitmq',
  'messaging.destination.name': queue,
  'messaging.operation.name': operation,
  'messaging.operation.type': operation,
  ...(typeof messageId === 'string' ? { 'messaging.message.id': messageId } : {}),
})

const nameOf = (error: unknown): string => (error instanceof Error ? error.name : typeof error)
