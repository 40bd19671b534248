// GET /healthcheck: sends a message to consumer one, which logs it.
import { healthcheck, originHeaders } from '@ims/messaging'
import type { AcceptedCommands } from '../accepted-commands.ts'
import type { Dependencies } from '../dependencies.ts'
import { nameMessage, requestIdFor, sendJson } from '../http/answer.ts'
import type { Handler } from '../http/step.ts'

const SENT = { message: 'Health check message sent' }

export function healthcheckRoute({
  broker,
  accepted,
}: Pick<Dependencies, 'broker'> & { accepted: AcceptedCommands }): Handler {
  return async (_, response) => {
    const headers = originHeaders({ requestId: requestIdFor(response) })
    const { messageId } = await broker.publisher.publish(healthcheck, ['message', 'Healthcheck'], { headers })
    accepted.count(healthcheck)
    nameMessage(response, messageId)
    sendJson(response, 200, SENT)
  }
}
