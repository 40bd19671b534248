// Makes a server listen. If the port cannot be used, the error says what to change.
import type { Server } from 'node:net'
import { portHolder } from './port-holder.ts'

/** The server cannot listen on the port. An operator must change the configuration. */
export class PortTaken extends Error {
  override readonly name = 'PortTaken'
}

/** Where to listen. `variable` is the environment variable of the port. PortTaken names it. */
export interface ListenOn {
  readonly host: string
  readonly port: number
  readonly variable: string
}

/**
 * Makes `server` listen. Resolves with the actual port, which is any free one if `port` is 0.
 * @throws PortTaken when the port is in use (names the process if it is visible), not permitted, or the host is not local
 */
export function listen(server: Server, { host, port, variable }: ListenOn): Promise<number> {
  return new Promise((resolve, reject) => {
    const refused = (error: NodeJS.ErrnoException) => reject(explained(error, { host, port, variable }))
    server.once('error', refused)
    server.listen({ host, port }, () => {
      server.off('error', refused)
      const address = server.address()
      resolve(address !== null && typeof address === 'object' ? address.port : port)
    })
  })
}

function explained(error: NodeJS.ErrnoException, { host, port, variable }: ListenOn): Error {
  switch (error.code) {
    case 'EADDRINUSE': {
      const holder = portHolder(port)
      const by = holder ? `process ${holder.pid} (${holder.command})` : 'another process'
      return new PortTaken(`port ${port} is taken by ${by}: stop it, or set ${variable} to a free port`)
    }
    case 'EACCES':
      return new PortTaken(`port ${port} may not be used by this user: set ${variable} to one above 1023`)
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return new PortTaken(`cannot listen on ${host} port ${port} (${variable}): it is not an address of this host`)
    default:
      return error
  }
}
