// Authorisation: the scope that each path requires, and the check of a request. No other module decides this.
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import { type ApiKey, type Client, holderOf, type Scope } from './api-keys.ts'
import { Problem, sendProblem, unknownPath } from './problem.ts'
import { pathOf, type Step } from './step.ts'

/**
 * The scope required by each path and everything below it, for any method. No other path reaches the router, which might
 * understand it differently.
 */
export const SCOPE_OF: Readonly<Record<string, Scope>> = {
  '/healthcheck': 'read',
  '/order_processing': 'read',
  '/create_item': 'write',
  '/stock_management': 'write',
  '/stock_adjustment': 'write',
  '/movements': 'read',
  '/messages': 'read',
  '/queues': 'read',
  '/dead_letters': 'admin',
}

/** The currently valid keys. Undefined if no keys are configured: then all paths are open, except those that require admin. */
export type KeysNow = () => readonly ApiKey[] | undefined

/** The client that sent the request of a response, if its key is valid. */
const clients = new WeakMap<ServerResponse, Client>()
export const clientOf = (response: ServerResponse): Client | undefined => clients.get(response)

/** Identifies the client of a request. A request with an unknown key is rejected later, in `authorise`, so that the rate limit counts it. */
export function authenticate(keysNow: KeysNow): Step {
  return (request, response) => {
    const keys = keysNow()
    const presented = keys === undefined ? undefined : presentedKey(request.headers)
    const client = keys === undefined || presented === undefined ? undefined : holderOf(presented, keys)
    if (client !== undefined) clients.set(response, client)
    return true
  }
}

/**
 * Passes permitted requests on. Responds with 401 without a valid key, with 403 if the key does not have the scope, and with
 * 404 if the path has no scope.
 */
export function authorise(keysNow: KeysNow): Step {
  return (request, response) => {
    const scope = scopeOf(pathOf(request))
    const refused = keysNow() === undefined ? refusedWhenOpen(scope) : refusedByKey(request, scope, clientOf(response))
    const refusal = refused ?? (scope === undefined ? unknownPath() : undefined)
    if (refusal !== undefined) sendProblem(response, refusal)
    return refusal === undefined
  }
}

function refusedWhenOpen(scope: Scope | undefined): Problem | undefined {
  if (scope !== 'admin') return undefined
  return new Problem(
    403,
    'forbidden',
    'This path is disabled: to enable it, set API_KEYS with a key that has the scope admin.',
  )
}

function refusedByKey(
  request: IncomingMessage,
  scope: Scope | undefined,
  client: Client | undefined,
): Problem | undefined {
  // Browsers send preflight requests (OPTIONS) without a key.
  if (request.method === 'OPTIONS') return undefined
  if (client === undefined) return unauthorized(presentedKey(request.headers) !== undefined)
  if (scope === undefined || client.scopes.has(scope)) return undefined
  const headers = { 'WWW-Authenticate': `Bearer realm="ims", error="insufficient_scope", scope="${scope}"` }
  return new Problem(403, 'forbidden', `The API key ${client.name} does not have the scope ${scope}.`, { headers })
}

function unauthorized(wasPresented: boolean): Problem {
  const error = wasPresented ? ', error="invalid_token"' : ''
  const detail = wasPresented
    ? 'The API key is not valid.'
    : 'An API key is needed, in the header Authorization: Bearer <key>, or X-API-Key: <key>.'
  return new Problem(401, 'unauthorized', detail, { headers: { 'WWW-Authenticate': `Bearer realm="ims"${error}` } })
}

/** The first segment of the path decides, because all paths below it require the same scope. */
function scopeOf(path: string): Scope | undefined {
  const end = path.indexOf('/', 1)
  const first = end < 0 ? path : path.slice(0, end)
  return Object.hasOwn(SCOPE_OF, first) ? SCOPE_OF[first] : undefined
}

const BEARER = /^Bearer +(\S+) *$/i

function presentedKey({ authorization = '', 'x-api-key': other }: IncomingHttpHeaders): string | undefined {
  const bearer = BEARER.exec(authorization)?.[1]
  return bearer ?? (typeof other === 'string' && other !== '' ? other : undefined)
}
