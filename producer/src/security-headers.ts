// Headers that keep browsers from making more of an answer than data: helmet's, as far as an API without pages needs them.
import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import helmet from 'helmet'
import type { Step } from './step.ts'

const protect = helmet({
  // Nothing in an answer may load or run anything, nor be shown in a frame.
  contentSecurityPolicy: {
    useDefaults: false,
    directives: { 'default-src': ["'none'"], 'frame-ancestors': ["'none'"] },
  },
  // A page of another origin may ask whether we answer (`no-cors`), as it could ask the Python suite; it cannot read the answer.
  crossOriginResourcePolicy: { policy: 'cross-origin' },
  xContentTypeOptions: true,
  xFrameOptions: { action: 'deny' },
  // TLS ends in front of us, and whoever ends it knows whether all of the host speaks it.
  strictTransportSecurity: false,
  // Of pages only.
  crossOriginOpenerPolicy: false,
  originAgentCluster: false,
  referrerPolicy: false,
  xDnsPrefetchControl: false,
  xDownloadOptions: false,
  xPermittedCrossDomainPolicies: false,
  // Of what is no longer in use, or done by Express's own setting.
  xXssProtection: false,
  xPoweredBy: false,
})

/** An answer to nobody, which notes the headers it is given. */
class Sample extends ServerResponse {
  readonly headers: { readonly name: string; readonly value: string }[] = []
  override setHeader(name: string, value: number | string | readonly string[]): this {
    this.headers.push({ name, value: String(value) })
    return this
  }
}

/** Sets the headers, which are the same for every answer and so are worked out once. */
export function securityHeaders(): Step {
  const sample = new Sample(new IncomingMessage(new Socket()))
  protect(sample.req, sample, () => {})
  return (_, response) => {
    for (const { name, value } of sample.headers) response.setHeader(name, value)
    return true
  }
}
