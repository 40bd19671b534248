// The HTTP server of the API: the hardened server that all ports use, with the limits of the API.
import type { RequestListener } from 'node:http'
import type { Service } from '@ims/messaging'
import { type Listening, openHttpServer } from '@ims/runtime'
import type { HttpConfig } from '../config.ts'
import { type Limits, limitsOf } from './limits.ts'
import { trustsPeer } from './trusted-proxies.ts'

export type { Listening }

/**
 * Listens on `config.host` and `config.port`.
 * @throws PortTaken when that address is unavailable: in use, not local, not permitted
 */
export async function listen(
  app: RequestListener,
  config: HttpConfig,
  { log }: Pick<Service, 'log'>,
  limits: Limits = limitsOf(config),
): Promise<Listening> {
  const { host } = config
  const listening = await openHttpServer(
    app,
    { ...config, ...limits, variable: 'PORT', isProxy: trustsPeer(config.trustProxy) },
    log,
  )
  log.info({ host, port: listening.port }, `listening on http://${host}:${listening.port}`)
  return listening
}
