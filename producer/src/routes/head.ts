// HEAD: the status that GET would return, as far as the producer knows it without sending a message.
import { NotAccepted } from '@ims/messaging'
import type { Request, RequestHandler } from 'express'
import type { Dependencies } from '../dependencies.ts'

/**
 * The handler of HEAD. Without it, Express would run the handler of GET, which sends a message. `check` throws the errors
 * that GET throws before it sends the message.
 */
export function headRoute(
  { broker }: Pick<Dependencies, 'broker'>,
  check: (request: Request) => void = () => {},
): RequestHandler {
  return (request, response) => {
    check(request)
    const why = broker.notReady?.()
    if (why !== undefined) throw new NotAccepted('disconnected', why)
    response.writeHead(200, { 'Content-Type': 'application/json' }).end()
  }
}
