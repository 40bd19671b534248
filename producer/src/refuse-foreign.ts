// Refuses what is no request for the API: malformed in a way that Node's parser lets through, or sent by somebody else's web page.
import { foreignRequest, refusalOf, sendProblemDocument } from '@ims/runtime'
import type { Step } from './step.ts'

/** `servedHosts` are the host names that are served; all when it is left out. */
export function refuseForeign(servedHosts: ReadonlySet<string> | undefined): Step {
  return (request, response) => {
    const refusal =
      refusalOf(request) ??
      (servedHosts === undefined ? undefined : foreignRequest(request.headers, servedHosts, 'HTTP_ALLOWED_HOSTS'))
    if (refusal !== undefined) sendProblemDocument(response, refusal)
    return refusal === undefined
  }
}
