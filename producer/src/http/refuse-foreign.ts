// Rejects malformed requests that Node's parser accepts, and requests from foreign web pages.
import { foreignRequest, refusalOf, sendProblemDocument } from '@ims/runtime'
import type { Step } from './step.ts'

/** `servedHosts` are the allowed host names. If undefined, all are allowed. */
export function refuseForeign(servedHosts: ReadonlySet<string> | undefined): Step {
  return (request, response) => {
    const refusal =
      refusalOf(request) ??
      (servedHosts === undefined ? undefined : foreignRequest(request.headers, servedHosts, 'HTTP_ALLOWED_HOSTS'))
    if (refusal !== undefined) sendProblemDocument(response, refusal)
    return refusal === undefined
  }
}
