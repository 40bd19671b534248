// Picks loopback ports that nobody listens on.
import { createServer, type Server } from 'node:net'

// Below the range from which systems take ports for outgoing connections: otherwise one of those could sit on a port of a stopped server.
const FIRST = 20_000
const COUNT = 12_000
const MOST_ATTEMPTS = 200

/** `count` different ports that can be bound on 127.0.0.1 and on all addresses at this moment. */
export async function freePorts(count: number): Promise<number[]> {
  const held: Server[] = []
  const ports: number[] = []
  try {
    for (let attempt = 0; ports.length < count && attempt < MOST_ATTEMPTS; attempt++) {
      const port = FIRST + Math.floor(Math.random() * COUNT)
      const server = await listen(port)
      if (server === undefined) continue
      held.push(server)
      ports.push(port)
    }
  } finally {
    await Promise.all(held.map((server) => new Promise((resolve) => server.close(resolve))))
  }
  if (ports.length < count) throw new Error(`no ${count} free ports between ${FIRST} and ${FIRST + COUNT}`)
  return ports
}

function listen(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(undefined))
    server.listen(port, '127.0.0.1', () => resolve(server))
  })
}
