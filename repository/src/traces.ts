// The CLIENT span of a transaction, or of reads on one connection, as part of the message that it is for.
import { activeContext, endSpan, tracer, within } from '@ims/runtime/traces'
import { SpanKind, trace } from '@opentelemetry/api'

/** Runs `work` in a span. Without one while traces are off, and for work that belongs to no message. */
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
