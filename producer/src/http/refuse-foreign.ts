// Rejects what is not a request for the API: malformed in a way that Node's parser accepts, or sent by a foreign web page.
import { foreignRequest, refusalOf, sendProblemDocument } from '@ims/runtime'
import type { Step } from './step.ts'

/** `servedHosts` are the served host names. All when omitted. */
export function refuseForeign(servedHosts: ReadonlySet<string> | undefined): Step {
  return (request, response) => {
    const refusal =
      refusalOf(request) ??
      (servedHosts === undefined ? undefined : foreignRequest(request.headers, servedHosts, 'HTTP_ALLOWED_HOSTS'))
    if (refusal !== undefined) sendProblemDocument(response, refusal)
    return refusal === undefined
  }
}
