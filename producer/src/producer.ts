// The HTTP interface: which path is served by what. Knows no infrastructure: the broker is handed in.
import express, { type Express, type RequestHandler } from 'express'
import { accessLog } from './access-log.ts'
import { authenticate, authorise } from './authorisation.ts'
import type { Dependencies } from './dependencies.ts'
import { limitRequests, limitWaits } from './in-hand.ts'
import { limitsOf } from './limits.ts'
import { wantedBy } from './listing-query.ts'
import { methodNotAllowed, notFound, problemHandler } from './problem.ts'
import { limitRate } from './rate-limit.ts'
import { refuseForeign } from './refuse-foreign.ts'
import { createItemRoute } from './routes/create-item.ts'
import { deadLettersRouter } from './routes/dead-letters.ts'
import { headRoute } from './routes/head.ts'
import { healthcheckRoute } from './routes/healthcheck.ts'
import { messageRoute } from './routes/message.ts'
import { movementsRoute } from './routes/movements.ts'
import { orderProcessingRoute } from './routes/order-processing.ts'
import { stockAdjustmentRoute } from './routes/stock-adjustment.ts'
import { stockManagementRoute } from './routes/stock-management.ts'
import { securityHeaders } from './security-headers.ts'

/** Makes the Express application of the four routes. Every error is answered as `application/problem+json` (RFC 9457). */
export function createApp(dependencies: Dependencies): Express {
  const { service, config, keysNow = () => config.apiKeys, limits = limitsOf(dependencies.config) } = dependencies
  const app = express()
  app.disable('x-powered-by')
  app.disable('etag')
  app.enable('case sensitive routing')
  app.enable('strict routing')
  app.set('query parser', 'simple')
  if (config.trustProxy !== undefined) app.set('trust proxy', config.trustProxy)

  const takeWait = limitWaits(limits)
  const post: Record<string, RequestHandler> = {
    '/create_item': createItemRoute({ ...dependencies, takeWait }),
    '/stock_management': stockManagementRoute({ ...dependencies, takeWait }),
    '/stock_adjustment': stockAdjustmentRoute({ ...dependencies, takeWait }),
  }
  const get: Record<string, { get: RequestHandler; head: RequestHandler }> = {
    '/healthcheck': { get: healthcheckRoute(dependencies), head: headRoute(dependencies) },
    '/order_processing': {
      get: orderProcessingRoute({ ...dependencies, limits }),
      head: headRoute(dependencies, ({ query }) => void wantedBy(query)),
    },
    '/movements': {
      get: movementsRoute(dependencies),
      head: headRoute(dependencies, ({ query }) => void wantedBy(query)),
    },
    '/messages/:id': { get: messageRoute(dependencies), head: headRoute(dependencies) },
  }
  app.use(accessLog(service, [...Object.keys(post), ...Object.keys(get)]))
  app.use(securityHeaders())
  app.use(authenticate(keysNow))
  if (config.rateLimitPerMinute > 0) app.use(limitRate(config.rateLimitPerMinute))
  app.use(refuseForeign(dependencies.servedHosts))
  app.use(authorise(keysNow))
  // Else a client is an address, and has no more requests in hand than connections.
  if (keysNow() !== undefined || config.trustProxy !== undefined) app.use(limitRequests(limits))
  for (const [path, handler] of Object.entries(post)) {
    const allow = 'POST, OPTIONS'
    app
      .route(path)
      .post(handler)
      .options(empty({ Allow: allow }))
      .all(methodNotAllowed(allow))
  }
  for (const [path, { get: handler, head }] of Object.entries(get)) {
    const allow = 'GET, HEAD, OPTIONS'
    app
      .route(path)
      .head(head)
      .get(handler)
      .options(empty({ Allow: allow }))
      .all(methodNotAllowed(allow))
  }
  if (dependencies.deadLetters) app.use('/dead_letters', deadLettersRouter(dependencies.deadLetters, dependencies))
  app.use(notFound)
  app.use(problemHandler(service.log))
  return app
}

const empty =
  (headers: Record<string, string>): RequestHandler =>
  (_, response) => {
    response.writeHead(200, { ...headers, 'Content-Length': '0' }).end()
  }
