// The headers of helmet that an API without pages needs. They make browsers treat a response as data only.
import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import helmet from 'helmet'
import type { Step } from './step.ts'

const protect = helmet({
  // A response must not load or run anything, and must not be shown in a frame.
  contentSecurityPolicy: {
    useDefaults: false,
    directives: { 'default-src': ["'none'"], 'frame-ancestors': ["'none'"] },
  },
  // A page of another origin can see whether the API responds (`no-cors`), as with the Python suite. It cannot read the response.
  crossOriginResourcePolicy: { policy: 'cross-origin' },
  xContentTypeOptions: true,
  xFrameOptions: { action: 'deny' },
  // A proxy in front terminates TLS. Only the proxy knows whether the whole host uses TLS.
  strictTransportSecurity: false,
  // These headers affect pages only.
  crossOriginOpenerPolicy: false,
  originAgentCluster: false,
  referrerPolicy: false,
  xDnsPrefetchControl: false,
  xDownloadOptions: false,
  xPermittedCrossDomainPolicies: false,
  // Obsolete, or done by Express's own setting.
  xXssProtection: false,
  xPoweredBy: false,
})

/** A fake response that records its headers. */
class Sample extends ServerResponse {
  readonly headers: { readonly name: string; readonly value: string }[] = []
  override setHeader(name: string, value: number | string | readonly string[]): this {
    this.headers.push({ name, value: String(value) })
    return this
  }
}

/** Sets the headers. They are computed once, because they are the same for every response. */
export function securityHeaders(): Step {
  const sample = new Sample(new IncomingMessage(new Socket()))
  protect(sample.req, sample, () => {})
  return (_, response) => {
    for (const { name, value } of sample.headers) response.setHeader(name, value)
    return true
  }
}
