// /dead_letters: operations on dead letters over HTTP. authorisation.ts decides who may use it.
import { type DeadLetterDesk, deadLetterSource, deadLetterSources } from '@ims/messaging'
import { type ErrorRequestHandler, type RequestHandler, Router } from 'express'
import type { Dependencies } from '../dependencies.ts'
import { methodNotAllowed, Problem } from '../http/problem.ts'
import type { TakeWait } from '../http/requests-in-flight.ts'
import { exportRoute, listRoute, oneRoute, summaryRoute } from './dead-letters-read.ts'
import { troubleAsProblem } from './dead-letters-trouble.ts'
import { discardOneRoute, workRoute } from './dead-letters-work.ts'

/** The routes, relative to /dead_letters. */
export function deadLettersRouter(
  desk: DeadLetterDesk,
  { config, service, takeWait }: Pick<Dependencies, 'config' | 'service'> & { readonly takeWait: TakeWait },
): Router {
  const router = Router({ caseSensitive: true, strict: true })
  router.param('queue', (request, _, next, name: string) => {
    const queue = deadLetterSource(name)
    if (queue === undefined)
      throw new Problem(404, 'not-found', `There is no such queue. The queues are ${deadLetterSources.join(', ')}.`)
    request.params.queue = queue
    next()
  })
  const parts = { desk, config, service, takeWait }
  const routes: Record<string, { get?: RequestHandler; post?: RequestHandler; delete?: RequestHandler }> = {
    '/': { get: summaryRoute(parts) },
    '/:queue': { get: listRoute(parts) },
    '/:queue/export': { get: exportRoute(parts) },
    '/:queue/redrive': { post: workRoute('redrive', parts) },
    '/:queue/discard': { post: workRoute('discard', parts) },
    '/:queue/messages/:id': { get: oneRoute(parts), delete: discardOneRoute(parts) },
  }
  for (const [path, handlers] of Object.entries(routes)) {
    const route = router.route(path)
    if (handlers.get) route.head(methodNotAllowed('GET')).get(handlers.get)
    if (handlers.post) route.post(handlers.post)
    if (handlers.delete) route.delete(handlers.delete)
    route.all(methodNotAllowed(Object.keys(handlers).join(', ').toUpperCase()))
  }
  const explain: ErrorRequestHandler = (error, _request, _response, next) => next(troubleAsProblem(error))
  router.use(explain)
  return router
}
