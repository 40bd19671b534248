// Selects free loopback ports, and checks whether ports that were selected earlier are still free.
import { createServer, type Server } from 'node:net'
import { holderOfPort } from '../processes/port-holder.ts'

// These ports are below the range of ephemeral ports. Otherwise an outgoing connection could take the port of a stopped server.
const FIRST = 20_000
const COUNT = 12_000
const FIRST_IN_A_ROW = 11_000
const ATTEMPTS_MAX = 200

/** `count` different ports that are free on 127.0.0.1 now. */
export async function freePorts(count: number): Promise<number[]> {
  const held: Server[] = []
  const ports: number[] = []
  try {
    for (let attempt = 0; ports.length < count && attempt < ATTEMPTS_MAX; attempt++) {
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

/** The first of `count` consecutive ports that are free now. They are below the range of `freePorts`. */
export async function freePortsInARow(count: number): Promise<number> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const first = FIRST_IN_A_ROW + Math.floor((Math.random() * (FIRST - FIRST_IN_A_ROW)) / count) * count
    const bound = await Promise.all(Array.from({ length: count }, (_, at) => listen(first + at)))
    await Promise.all(bound.map((server) => new Promise((resolve) => (server ? server.close(resolve) : resolve(null)))))
    if (bound.every((server) => server !== undefined)) return first
  }
  throw new Error(`no ${count} free ports in a row between ${FIRST_IN_A_ROW} and ${FIRST}`)
}

/**
 * Rejects if `server` cannot use its previous ports. The error names the port and the process that uses it. Without this
 * check, clients could connect to that process.
 */
export async function expectFree(server: string, ports: readonly number[]): Promise<void> {
  for (const port of ports) {
    const probe = await listen(port)
    if (probe === undefined) {
      const holder = holderOfPort(port) ?? 'an unknown process'
      throw new Error(
        `port ${port} of ${server} is taken by ${holder}; stop that process, or delete the data of the servers`,
      )
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
