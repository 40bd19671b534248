// What every request goes through before its route: steps, each of which lets it on or answers it.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { RequestHandler } from 'express'

/**
 * Returns true when the request goes on, false when the step has answered it. It knows Node's request and response only, so that
 * it is the same with and without Express's router.
 */
export type Step = (request: IncomingMessage, response: ServerResponse) => boolean

/** A handler of a route: the same as Express has it, without what only Express gives. */
export type Handler = (request: IncomingMessage, response: ServerResponse) => unknown

/** The step as Express's middleware. */
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
