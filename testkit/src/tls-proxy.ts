// A proxy that accepts TLS and forwards plain text to a broker without TLS, so that a test has a TLS listener.
import { connect, type Socket } from 'node:net'
import { createServer, type TlsOptions } from 'node:tls'

export interface TlsProxy {
  readonly port: number
  /** What clients sent without TLS. It must stay empty. */
  readonly rejected: number
  close(): Promise<void>
}

/** Listens on a free loopback port with a certificate, and forwards everything to `target`. */
export async function startTlsProxy(target: { host: string; port: number }, options: TlsOptions): Promise<TlsProxy> {
  const sockets = new Set<Socket>()
  let rejected = 0
  const server = createServer(options, (client) => {
    const upstream = connect(target.port, target.host)
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        other.destroy()
      })
      socket.pipe(other)
    }
  })
  server.on('tlsClientError', () => {
    rejected += 1
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port')
  return {
    port: address.port,
    get rejected() {
      return rejected
    },
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve))
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}
