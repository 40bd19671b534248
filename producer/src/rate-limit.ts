// How many requests one client may send in a minute: counted by API key, else by address.
import type { RequestHandler } from 'express'
import { ipKeyGenerator, rateLimit } from 'express-rate-limit'
import { clientOf } from './authorisation.ts'
import { Problem, sendProblem } from './problem.ts'

const MINUTE_MS = 60_000

/**
 * Counts each request and tells how many are left (`RateLimit`, `RateLimit-Policy`, draft-ietf-httpapi-ratelimit-headers-08);
 * more than `perMinute` are answered with 429. Each process counts for itself.
 */
export function limitRate(perMinute: number): RequestHandler {
  return rateLimit({
    windowMs: MINUTE_MS,
    limit: perMinute,
    standardHeaders: 'draft-8',
    legacyHeaders: false,
    identifier: 'per-client',
    // What a key that is not valid costs is counted for the address. Of IPv6 a whole /56 counts as one: it is one customer's.
    keyGenerator: (request, response) => {
      const client = clientOf(response)
      return client === undefined ? `address ${ipKeyGenerator(request.ip ?? '')}` : `key ${client.name}`
    },
    handler: (_, response) => {
      const detail = `More than ${perMinute} requests in a minute: the header Retry-After says when to go on.`
      sendProblem(response, new Problem(429, 'too-many-requests', detail))
    },
    // They look for mistakes of configuration, which the schema of TRUST_PROXY leaves no room for, and write to the console.
    validate: false,
  })
}
