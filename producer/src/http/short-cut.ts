// Bypasses Express's router, which takes longer per request than all of our code.
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { Failed } from './problem.ts'
import type { Handler, Step } from './step.ts'

interface Way {
  readonly steps: readonly Step[]
  /** By method and path. */
  readonly handlers: Readonly<Record<string, ReadonlyMap<string, Handler>>>
  readonly failed: Failed
}

/**
 * Passes a request whose method and target exactly match a handler through the same steps, handler and error handling
 * that `app` has. Passes any other to `app`. A test sends requests both ways and compares the results.
 */
export function shortCut(app: RequestListener, { steps, handlers, failed }: Way): RequestListener {
  const serve = async (handler: Handler, request: IncomingMessage, response: ServerResponse) => {
    try {
      for (const step of steps) if (!step(request, response)) return
      await handler(request, response)
    } catch (error) {
      failed(error, request, response, () => {})
    }
  }
  return (request, response) => {
    const handler = handlers[request.method ?? '']?.get(request.url ?? '')
    if (handler === undefined) app(request, response)
    else void serve(handler, request, response)
  }
}
