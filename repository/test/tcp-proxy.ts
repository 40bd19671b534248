// A TCP proxy before MySQL that misbehaves on demand: is not there yet, stays silent, or loses the answer to a statement.
import { connect, createServer, type Socket } from 'node:net'

export interface TcpProxy {
  readonly port: number
  /** Cuts the connection when the server has answered the `nth` statement from now on that contains `text`: it was carried out, but nobody is told. */
  loseAnswerTo(text: string, nth?: number): void
  /** While true, nothing that the server sends is passed on, and nothing is closed. */
  silence(on: boolean): void
  close(): Promise<void>
}

/** Listens on `port` of the loopback, a free one unless told, and passes everything on to `target`. */
export async function startTcpProxy(target: { host: string; port: number }, port = 0): Promise<TcpProxy> {
  const sockets = new Set<Socket>()
  let silent = false
  let trigger: { text: string; left: number } | undefined

  const server = createServer((client) => {
    const upstream = connect(target.port, target.host)
    let losing = false
    const cut = () => {
      client.destroy()
      upstream.destroy()
    }
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        cut()
      })
    }
    client.on('data', (chunk) => {
      if (trigger && chunk.includes(trigger.text)) {
        trigger.left -= 1
        losing = trigger.left === 0
        if (losing) trigger = undefined
      }
      upstream.write(chunk)
    })
    upstream.on('data', (chunk) => {
      if (losing) cut()
      else if (!silent) client.write(chunk)
    })
  })
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port')
  return {
    port: address.port,
    loseAnswerTo: (text, nth = 1) => {
      trigger = { text, left: nth }
    },
    silence: (on) => {
      silent = on
    },
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve))
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}
