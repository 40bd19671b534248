// GET /healthcheck: sends a message to consumer one, which logs it.
import { healthcheck, originHeaders } from '@ims/messaging'
import type { Dependencies } from '../dependencies.ts'
import { nameMessage, requestIdFor, sendJson } from '../http/answer.ts'
import type { Handler } from '../http/step.ts'

const SENT = { message: 'Health check message sent' }

export function healthcheckRoute({ broker }: Pick<Dependencies, 'broker'>): Handler {
  return async (_, response) => {
    const headers = originHeaders({ requestId: requestIdFor(response) })
    const { messageId } = await broker.publisher.publish(healthcheck, ['message', 'Healthcheck'], { headers })
    nameMessage(response, messageId)
    sendJson(response, 200, SENT)
  }
}
