// GET /messages/{id}: the state of a message, or the possible reasons why it is unknown.
import { messageStatus, originHeaders } from '@ims/messaging'
import type { RequestHandler } from 'express'
import type { Dependencies } from '../dependencies.ts'
import { requestIdFor, sendJson, whenLeft } from '../http/answer.ts'
import { Problem } from '../http/problem.ts'
import { stateOf } from '../message-state.ts'

const ID_MAX_CHARACTERS = 255

export function messageRoute({ broker, config }: Pick<Dependencies, 'broker' | 'config'>): RequestHandler {
  return async (request, response) => {
    const id = String(request.params.id)
    if ([...id].length > ID_MAX_CHARACTERS)
      throw new Problem(400, 'invalid-query', `An id has at most ${ID_MAX_CHARACTERS} characters.`)
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
