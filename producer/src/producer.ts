// The HTTP interface: the route of each path. It creates no connections: the broker is passed in.
import type { RequestListener } from 'node:http'
import express, { type Express, type RequestHandler } from 'express'
import { AcceptedCommands } from './accepted-commands.ts'
import { CONSOLE_ROUTES, serveConsole } from './console/serve.ts'
import type { Dependencies } from './dependencies.ts'
import { accessLog } from './http/access-log.ts'
import { authenticate, authorise } from './http/authorisation.ts'
import { InFlight } from './http/idempotency-key.ts'
import { limitsOf } from './http/limits.ts'
import { methodNotAllowed, notFound, problemHandler } from './http/problem.ts'
import { limitRate } from './http/rate-limit.ts'
import { refuseForeign } from './http/refuse-foreign.ts'
import { limitRequests, limitWaits } from './http/requests-in-flight.ts'
import { securityHeaders } from './http/security-headers.ts'
import { shortCut } from './http/short-cut.ts'
import { type Handler, middleware, type Step } from './http/step.ts'
import { trustOf } from './http/trusted-proxies.ts'
import { movementsWantedBy, wantedBy } from './listing/listing-query.ts'
import { createItemRoute } from './routes/create-item.ts'
import { deadLettersRouter } from './routes/dead-letters.ts'
import { headRoute } from './routes/head.ts'
import { healthcheckRoute } from './routes/healthcheck.ts'
import { messageIdIn, messageRoute } from './routes/message.ts'
import { movementsRoute } from './routes/movements.ts'
import { orderProcessingRoute } from './routes/order-processing.ts'
import { queuesRoute } from './routes/queues.ts'
import { stockAdjustmentRoute } from './routes/stock-adjustment.ts'
import { stockManagementRoute } from './routes/stock-management.ts'

/** The request handler for a server, and the list of its routes. */
export type App = RequestListener & Pick<Express, 'router'>

/** Creates the Express application with all routes. Every error becomes `application/problem+json` (RFC 9457). */
export function createApp(dependencies: Dependencies): App {
  const {
    service,
    config,
    keysNow = () => config.apiKeys,
    limits = limitsOf(dependencies.config),
    isShort = true,
  } = dependencies
  const app = express()
  app.disable('x-powered-by')
  app.disable('etag')
  app.enable('case sensitive routing')
  app.enable('strict routing')
  app.set('query parser', 'simple')
  if (config.trustProxy !== undefined) app.set('trust proxy', trustOf(config.trustProxy))

  const accepted = new AcceptedCommands()
  const commands = { ...dependencies, takeWait: limitWaits(limits), inFlight: new InFlight(), accepted }
  const post: Record<string, Handler> = {
    '/create_item': createItemRoute(commands),
    '/stock_management': stockManagementRoute(commands),
    '/stock_adjustment': stockAdjustmentRoute(commands),
  }
  const healthcheck = healthcheckRoute(commands)
  const listing = orderProcessingRoute({ ...dependencies, limits })
  const get: Record<string, { get: RequestHandler; head: RequestHandler }> = {
    '/healthcheck': { get: healthcheck, head: headRoute(dependencies) },
    '/order_processing': {
      get: listing,
      head: headRoute(dependencies, ({ query }) => void wantedBy(query)),
    },
    '/movements': {
      get: movementsRoute(dependencies),
      head: headRoute(dependencies, ({ query }) => void movementsWantedBy(query)),
    },
    '/queues': { get: queuesRoute(commands), head: headRoute(dependencies) },
    '/messages/:id': {
      get: messageRoute(dependencies),
      head: headRoute(dependencies, (request) => void messageIdIn(request)),
    },
  }
  const paths = [...Object.keys(post), ...Object.keys(get)]
  const { console } = dependencies
  const first: Step[] = [
    accessLog(service, console ? [...paths, ...CONSOLE_ROUTES] : paths),
    securityHeaders(),
    authenticate(keysNow),
  ]
  const foreign = refuseForeign(dependencies.servedHosts)
  const then: Step[] = [foreign, authorise(keysNow)]
  // Without keys and proxies, a client is an address. The limit on its connections then also limits its requests in flight.
  // Asked for each request, because an open API needs keys as soon as API_KEYS_FILE lists some.
  const limited = limitRequests(limits)
  then.push(
    (request, response) => (keysNow() === undefined && config.trustProxy === undefined) || limited(request, response),
  )
  const isLimited = config.rateLimitPerMinute > 0
  app.use(first.map(middleware))
  if (isLimited) app.use(limitRate(config.rateLimitPerMinute))
  // Runs before the check of the API key, because the console needs none. Requests on the short cut skip this step.
  if (console) app.use([foreign, serveConsole(console, paths)].map(middleware))
  app.use(then.map(middleware))
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
  const { deadLetters } = dependencies
  if (deadLetters) app.use('/dead_letters', deadLettersRouter(deadLetters, commands))
  app.use(notFound)
  const failed = problemHandler(service.log)
  app.use(failed)
  // The rate limit and trusted proxies need Express, so there is no short cut with them.
  if (isLimited || config.trustProxy !== undefined || !isShort) return app
  const handlers = {
    POST: new Map(Object.entries(post)),
    GET: new Map([
      ['/healthcheck', healthcheck],
      ['/order_processing', listing],
    ]),
  }
  return Object.assign(shortCut(app, { steps: [...first, ...then], handlers, failed }), { router: app.router })
}

const empty =
  (headers: Record<string, string>): RequestHandler =>
  (_, response) => {
    response.writeHead(200, { ...headers, 'Content-Length': '0' }).end()
  }
