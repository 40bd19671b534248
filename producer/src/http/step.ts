// The steps that every request goes through before its route. Each step passes the request on or responds to it.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { RequestHandler } from 'express'

/**
 * Returns true to pass the request on, false when the step has responded. It uses only Node's request and response, so
 * that it works with and without Express's router.
 */
export type Step = (request: IncomingMessage, response: ServerResponse) => boolean

/** A route handler that uses only Node's request and response, so that it works without Express's router. */
export type Handler = (request: IncomingMessage, response: ServerResponse) => unknown

/** The step as Express middleware. */
export const middleware =
  (step: Step): RequestHandler =>
  (request, response, next) => {
    if (step(request, response)) next()
  }

/** The path of a request's URL. */
export function pathOf({ url = '/' }: IncomingMessage): string {
  const query = url.indexOf('?')
  return query < 0 ? url : url.slice(0, query)
}
