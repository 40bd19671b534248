// The address of a client, which the limits count by and the log shows.
import type { IncomingMessage } from 'node:http'

/** Some proxies write the client's port into X-Forwarded-For: `203.0.113.7:4000` or `[2001:db8::1]:4000`. */
const WITH_PORT = /^(?:\[([^\]]+)\](?::\d+)?|([\d.]+):\d+)$/

/**
 * The client's address, without a port. Express determines `ip` by TRUST_PROXY. Call this before the socket closes, because a
 * closed socket has no address.
 */
export function clientAddress(request: IncomingMessage & { readonly ip?: string | undefined }): string | undefined {
  const address = request.ip ?? request.socket.remoteAddress
  return address === undefined ? undefined : withoutPort(address)
}

export function withoutPort(address: string): string {
  const [, v6, v4] = WITH_PORT.exec(address) ?? []
  return v6 ?? v4 ?? address
}
