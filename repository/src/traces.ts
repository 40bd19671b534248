// Traces a transaction, or the reads on one connection, as a CLIENT span of the current message.
import { activeContext, endSpan, tracer, within } from '@ims/runtime/traces'
import { SpanKind, trace } from '@opentelemetry/api'

/** Runs `work` in a span, or without one when traces are off or no message is being processed. */
export async function traceSql<T>(
  operation: 'transaction' | 'read',
  address: string,
  work: () => Promise<T>,
): Promise<T> {
  const parent = tracer() && activeContext()
  const span =
    parent &&
    tracer()?.startSpan(
      operation,
      {
        kind: SpanKind.CLIENT,
        attributes: { 'db.system.name': 'mysql', 'db.operation.name': operation, 'server.address': address },
      },
      parent,
    )
  if (span === undefined || parent === undefined) return await work()
  let error: string | undefined
  try {
    return await within(trace.setSpan(parent, span), work)
  } catch (thrown) {
    error = thrown instanceof Error ? thrown.name : typeof thrown
    throw thrown
  } finally {
    endSpan(span, error)
  }
}
