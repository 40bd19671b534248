// Picks free loopback ports, and checks whether ports that were picked earlier are still free.
import { createServer, type Server } from 'node:net'
import { holderOfPort } from '../processes/port-holder.ts'

// Below the range of ephemeral ports. Otherwise an outgoing connection could take the port of a stopped server.
const FIRST = 20_000
const COUNT = 12_000
const FIRST_IN_A_ROW = 11_000
const MOST_ATTEMPTS = 200

/** `count` different ports that can be bound at this moment, on 127.0.0.1 and on all addresses. */
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

/** The first of `count` consecutive ports that can be bound at this moment. Below those of `freePorts`. */
export async function freePortsInARow(count: number): Promise<number> {
  for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
    const first = FIRST_IN_A_ROW + Math.floor((Math.random() * (FIRST - FIRST_IN_A_ROW)) / count) * count
    const bound = await Promise.all(Array.from({ length: count }, (_, at) => listen(first + at)))
    await Promise.all(bound.map((server) => new Promise((resolve) => (server ? server.close(resolve) : resolve(null)))))
    if (bound.every((server) => server !== undefined)) return first
  }
  throw new Error(`no ${count} free ports in a row between ${FIRST_IN_A_ROW} and ${FIRST}`)
}

/**
 * Rejects, naming the port and its holder, unless `server` can bind its previous ports. Otherwise clients would talk to
 * the process that took the port meanwhile.
 */
export async function expectFree(server: string, ports: readonly number[]): Promise<void> {
  for (const port of ports) {
    const probe = await listen(port)
    if (probe === undefined) {
      const holder = holderOfPort(port) ?? 'a process that could not be found out'
      throw new Error(`port ${port} of ${server} is taken by ${holder}; end that, or delete the data of the servers`)
    }
    await new Promise((resolve) => probe.close(resolve))
  }
}

function listen(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(undefined))
    server.listen(port, '127.0.0.1', () => resolve(server))
  })
}
