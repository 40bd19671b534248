// A proxy that accepts TLS connections and forwards them as plain TCP, for tests with a server that has no TLS listener.
import { connect, type Socket } from 'node:net'
import { createServer, type TlsOptions } from 'node:tls'

export interface TlsProxy {
  readonly port: number
  /** The number of connections whose TLS handshake failed. */
  readonly rejected: number
  close(): Promise<void>
}

/** Listens on a free loopback port with the certificate in `options`, and forwards all connections to `target`. */
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
