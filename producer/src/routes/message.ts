// GET /messages/{id}: the state of a message, or the possible reasons why it is unknown.
import { messageStatus, originHeaders } from '@ims/messaging'
import type { Request, RequestHandler } from 'express'
import type { Dependencies } from '../dependencies.ts'
import { requestIdFor, sendJson, whenLeft } from '../http/answer.ts'
import { Problem } from '../http/problem.ts'
import { stateOf } from '../message-state.ts'

const ID_MAX_CHARACTERS = 255

/** The id in the path. Throws Problem 400 if it is longer than any id. */
export function messageIdIn({ params }: Request): string {
  const id = String(params.id)
  if ([...id].length <= ID_MAX_CHARACTERS) return id
  throw new Problem(400, 'invalid-query', `An id has at most ${ID_MAX_CHARACTERS} characters.`)
}

export function messageRoute({ broker, config }: Pick<Dependencies, 'broker' | 'config'>): RequestHandler {
  return async (request, response) => {
    const id = messageIdIn(request)
    const reply = await broker.requester.request(
      messageStatus,
      { id },
      {
        deadlineMs: config.rpcTimeoutMs,
        headers: originHeaders({ requestId: requestIdFor(response) }),
        signal: whenLeft(response),
      },
    )
    sendJson(response, 200, stateOf(id, reply.body()))
  }
}
