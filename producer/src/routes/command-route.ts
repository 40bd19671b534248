// The route of every command: publishes the body as a message. `Prefer: wait` waits for the outcome, `Idempotency-Key` makes a repeat safe.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type Command, derivedMessageId, originHeaders } from '@ims/messaging'
import type { AcceptedCommands } from '../accepted-commands.ts'
import type { Dependencies } from '../dependencies.ts'
import { nameMessage, requestIdFor, sendJson, whenLeft } from '../http/answer.ts'
import { clientOf } from '../http/authorisation.ts'
import { type InFlight, idempotencyKey, keyReused } from '../http/idempotency-key.ts'
import { preferredWaitS } from '../http/prefer.ts'
import type { Problem } from '../http/problem.ts'
import { readBody } from '../http/request-body.ts'
import type { TakeWait } from '../http/requests-in-flight.ts'
import type { Handler } from '../http/step.ts'

export type CommandDependencies = Pick<Dependencies, 'broker' | 'config'> & {
  readonly takeWait: TakeWait
  readonly inFlight: InFlight
  readonly accepted: AcceptedCommands
}

/** The differences between commands. */
interface CommandAnswers<Body, Result> {
  readonly command: Command<Body, Result>
  /** The text of the response while the outcome is unknown. */
  readonly sent: string
  /** Whether the message contains the name of the API key, which the consumer records. */
  readonly tellsClient?: boolean
  /** Sends the response, or throws a Problem. */
  readonly applied: (response: ServerResponse, body: Body, result: Result) => void
  readonly refusal: (body: Body, reason: string, error: string) => Problem
}

export function commandRoute<Body, Result>(
  { broker, config, takeWait, inFlight, accepted }: CommandDependencies,
  { command, sent, tellsClient = false, applied, refusal }: CommandAnswers<Body, Result>,
): Handler {
  return async (request, response) => {
    const key = idempotencyKey(request.headers)
    const body = await readBody({ request, response }, command.body, config.bodyMaxBytes)
    const waitS = waitOf(request, response)
    // `send` is not awaited here, because this frame would then stay in memory until the broker confirms the message.
    if (key === undefined) return send(body, waitS, response)
    // Derived from the name of the API key, because the key itself changes when it is rotated.
    const messageId = derivedMessageId(command.queue, clientOf(response)?.name ?? '', key)
    await inFlight.serve(messageId, body, () => send(body, waitS, response, messageId))
  }

  async function send(body: Body, waitS: number | undefined, response: ServerResponse, derivedId?: string) {
    const by = tellsClient ? clientOf(response)?.name : undefined
    const headers = originHeaders({ by, requestId: requestIdFor(response) })
    const properties = derivedId === undefined ? { headers } : { headers, messageId: derivedId }
    if (waitS === undefined) {
      const { messageId } = await broker.publisher.publish(command, body, properties)
      accepted.count(command)
      nameMessage(response, messageId)
      return sendJson(response, 200, { message: sent })
    }
    const options = { ...properties, deadlineMs: waitS * 1_000, signal: whenLeft(response) }
    const { messageId, reply } = await broker.requester.command(command, body, options)
    accepted.count(command)
    nameMessage(response, messageId)
    response.setHeader('Preference-Applied', `wait=${waitS}`)
    if (reply.kind === 'no-reply') return sendJson(response, 202, { message: sent })
    if (reply.kind === 'applied') {
      if (reply.repeated) response.setHeader('Idempotent-Replayed', 'true')
      return applied(response, body, reply.result)
    }
    if (derivedId !== undefined && reply.reason === 'message-id-reused') throw keyReused()
    throw refusal(body, reply.reason, reply.error)
  }

  function waitOf(request: IncomingMessage, response: ServerResponse): number | undefined {
    const preferredS = preferredWaitS(request.headers.prefer, config.preferWaitMaxS)
    // A preference may be ignored, so a command is accepted even if there are too many waits.
    return preferredS && !takeWait(request, response) ? 0 : preferredS
  }
}
