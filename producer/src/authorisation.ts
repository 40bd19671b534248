// The door: which scope a path asks for, and who may pass. The only place that decides it.
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import { type ApiKey, type Client, holderOf, type Scope } from './api-keys.ts'
import { Problem, sendProblem } from './problem.ts'
import { pathOf, type Step } from './step.ts'

/** What each path, and all below it, asks for, whatever the method. A path that is not here can be asked for by any key. */
export const SCOPE_OF: Readonly<Record<string, Scope>> = {
  '/healthcheck': 'read',
  '/order_processing': 'read',
  '/create_item': 'write',
  '/stock_management': 'write',
  '/stock_adjustment': 'write',
  '/movements': 'read',
  '/messages': 'read',
  '/dead_letters': 'admin',
}

/** The keys that are valid now; undefined when there are none, which leaves all open but what asks for admin. */
export type KeysNow = () => readonly ApiKey[] | undefined

/** Who sent the request that is answered with this response, as far as a key has told. */
const clients = new WeakMap<ServerResponse, Client>()
export const clientOf = (response: ServerResponse): Client | undefined => clients.get(response)

/** Finds out who a request is from. A key that is nobody's is refused at `authorise`, after it has counted for the rate limit. */
export function authenticate(keysNow: KeysNow): Step {
  return (request, response) => {
    const keys = keysNow()
    const presented = keys === undefined ? undefined : presentedKey(request.headers)
    const client = keys === undefined || presented === undefined ? undefined : holderOf(presented, keys)
    if (client !== undefined) clients.set(response, client)
    return true
  }
}

/** Lets through who may do what is asked; answers 401 when no valid key was presented, 403 when it does not have the scope. */
export function authorise(keysNow: KeysNow): Step {
  return (request, response) => {
    const scope = scopeOf(pathOf(request))
    const refusal = keysNow() === undefined ? refusedWhenOpen(scope) : refusedByKey(request, scope, clientOf(response))
    if (refusal !== undefined) sendProblem(response, refusal)
    return refusal === undefined
  }
}

function refusedWhenOpen(scope: Scope | undefined): Problem | undefined {
  if (scope !== 'admin') return undefined
  return new Problem(403, 'forbidden', 'This path is closed: set API_KEYS with a key of scope admin to open it.')
}

function refusedByKey(
  request: IncomingMessage,
  scope: Scope | undefined,
  client: Client | undefined,
): Problem | undefined {
  // A browser asks so before it sends the request itself, and may not add a key to it.
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

/** The first segment decides: nothing below a path asks for less than the path itself. */
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
