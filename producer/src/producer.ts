// The HTTP interface: which path is served by what. Knows no infrastructure: the broker is handed in.
import express, { type Express, type RequestHandler } from 'express'
import { accessLog } from './access-log.ts'
import { authenticate, authorise } from './authorisation.ts'
import type { Dependencies } from './dependencies.ts'
import { methodNotAllowed, notFound, problemHandler } from './problem.ts'
import { limitRate } from './rate-limit.ts'
import { createItemRoute } from './routes/create-item.ts'
import { deadLettersRouter } from './routes/dead-letters.ts'
import { healthcheckRoute } from './routes/healthcheck.ts'
import { orderProcessingRoute } from './routes/order-processing.ts'
import { stockManagementRoute } from './routes/stock-management.ts'
import { securityHeaders } from './security-headers.ts'

/** Makes the Express application of the four routes. Every error is answered as `application/problem+json` (RFC 9457). */
export function createApp(dependencies: Dependencies): Express {
  const { service, config, keysNow = () => config.apiKeys } = dependencies
  const app = express()
  app.disable('x-powered-by')
  app.disable('etag')
  app.enable('case sensitive routing')
  app.enable('strict routing')
  app.set('query parser', 'simple')
  if (config.trustProxy !== undefined) app.set('trust proxy', config.trustProxy)

  const post: Record<string, RequestHandler> = {
    '/create_item': createItemRoute(dependencies),
    '/stock_management': stockManagementRoute(dependencies),
  }
  const get: Record<string, RequestHandler> = {
    '/healthcheck': healthcheckRoute(dependencies),
    '/order_processing': orderProcessingRoute(dependencies),
  }
  app.use(accessLog(service, [...Object.keys(post), ...Object.keys(get)]))
  app.use(securityHeaders())
  app.use(authenticate(keysNow))
  if (config.rateLimitPerMinute > 0) app.use(limitRate(config.rateLimitPerMinute))
  app.use(authorise(keysNow))
  for (const [path, handler] of Object.entries(post)) {
    const allow = 'POST, OPTIONS'
    app
      .route(path)
      .post(handler)
      .options(empty({ Allow: allow }))
      .all(methodNotAllowed(allow))
  }
  for (const [path, handler] of Object.entries(get)) {
    const allow = 'GET, HEAD, OPTIONS'
    // HEAD has a handler of its own: Express would run GET's, which sends a message.
    const head = empty({ 'Content-Type': 'application/json' })
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
    response.writeHead(200, headers).end()
  }
