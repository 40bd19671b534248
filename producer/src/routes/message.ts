// GET /messages/{id}: what was decided about a message, or which reasons there can be that nothing is known of it.
import { messageStatus, type RecordedVerdict } from '@ims/messaging'
import type { RequestHandler } from 'express'
import { sendJson, whenLeft } from '../answer.ts'
import type { Dependencies } from '../dependencies.ts'
import { Problem } from '../problem.ts'

const ID_MAX_CHARACTERS = 255
/** The clocks of producer and database may differ: only what is older by more than this counts as older. */
const CLOCKS_DIFFER_MAX_MS = 60_000
export function messageRoute({ broker, config }: Pick<Dependencies, 'broker' | 'config'>): RequestHandler {
  return async (request, response) => {
    const id = String(request.params.id)
    if ([...id].length > ID_MAX_CHARACTERS)
      throw new Problem(400, 'invalid-query', `An id has ${ID_MAX_CHARACTERS} characters at most.`)
    const reply = await broker.requester.request(
      messageStatus,
      { id },
      { deadlineMs: config.rpcTimeoutMs, signal: whenLeft(response) },
    )
    const { verdicts, remembersSince } = reply.body()
    sendJson(response, 200, described(id, verdicts, remembersSince))
  }
}

/** The newest verdict counts; all of them are the history. */
function described(id: string, verdicts: readonly RecordedVerdict[], remembersSince: string | null): object {
  const last = verdicts.find(({ error }) => error === null) ?? verdicts.at(-1)
  if (last === undefined) return { id, state: 'unknown', ...reasonsFor(id, remembersSince) }
  const { queue, at, error, outcome } = last
  const said =
    error === null ? { state: 'applied', queue, at, outcome } : { state: 'refused', queue, at, reason: outcome, error }
  return { id, ...said, history: verdicts }
}

/** Why nothing is known, as far as the time in a UUIDv7 does not exclude it. */
function reasonsFor(id: string, remembersSince: string | null): { sentAt?: string; possible: string[] } {
  const sentMs = timeOf(id)
  const possible = ['queued', 'dead-letter', 'never-sent', 'leaves-no-record']
  const isRemembered =
    sentMs !== undefined && remembersSince !== null && sentMs > Date.parse(remembersSince) + CLOCKS_DIFFER_MAX_MS
  if (!isRemembered) possible.push('forgotten')
  return { ...(sentMs === undefined ? {} : { sentAt: new Date(sentMs).toISOString() }), possible }
}

/** Milliseconds since 1970 in a UUIDv7 (RFC 9562, section 5.7). */
function timeOf(id: string): number | undefined {
  if (!/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i.test(id)) return undefined
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)
}
