// A TCP proxy that misbehaves on demand: cuts connections, after so many bytes if asked, or swallows what it should pass on.
import { connect, createServer, type Socket } from 'node:net'

export interface TcpProxy {
  readonly port: number
  /** Connections accepted so far. */
  readonly accepted: number
  /** Resets all connections there are. */
  cut(): void
  /** Resets each new connection once the server has sent this many bytes on it; undefined: no more. */
  cutAfterBytes(bytes: number | undefined): void
  /** While true, nothing is passed on in either direction, and nothing is closed. */
  blackHole(on: boolean): void
  close(): Promise<void>
}

/** Listens on a free loopback port and passes everything on to `target`. */
export async function startTcpProxy(target: { host: string; port: number }): Promise<TcpProxy> {
  const sockets = new Set<Socket>()
  let accepted = 0
  let bytesLeft: number | undefined
  let swallowing = false

  const server = createServer((client) => {
    accepted += 1
    const upstream = connect(target.port, target.host)
    let left = bytesLeft
    const end = () => {
      client.resetAndDestroy()
      upstream.resetAndDestroy()
    }
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        end()
      })
    }
    client.on('data', (chunk) => swallowing || upstream.write(chunk))
    upstream.on('data', (chunk) => {
      if (swallowing) return
      if (left === undefined || chunk.length < left) {
        client.write(chunk)
        if (left !== undefined) left -= chunk.length
      } else client.write(chunk.subarray(0, left), end)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port')
  const cut = () => {
    for (const socket of sockets) socket.resetAndDestroy()
  }
  return {
    port: address.port,
    get accepted() {
      return accepted
    },
    cut,
    cutAfterBytes: (bytes) => {
      bytesLeft = bytes
    },
    blackHole: (on) => {
      swallowing = on
    },
    close: async () => {
      cut()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
