// Checks that the ports of the suite are free, before any process is started.
import { connect, createServer } from 'node:net'
import { holderOfPort } from 'testkit/processes/port-holder'
import { StepFailed } from './progress.ts'

export interface WantedPort {
  readonly port: number
  readonly host: string
  /** The user of the port: `producer (HTTP)`. */
  readonly purpose: string
  /** The environment variable that changes the port. */
  readonly variable: string
}

/** Resolves when every port is free. Otherwise rejects with StepFailed, which names each port in use and the process that uses it. */
export async function checkPorts(wanted: readonly WantedPort[]): Promise<void> {
  const twice = wanted.find((a, index) => wanted.findIndex((b) => b.port === a.port) !== index)
  if (twice !== undefined) {
    const rivals = wanted.filter(({ port }) => port === twice.port).map(({ purpose }) => purpose)
    throw new StepFailed(
      `port ${twice.port} is configured for ${rivals.join(' and for ')}`,
      `Set ${moves(wanted, twice.port)}.`,
    )
  }
  const problems = await Promise.all(wanted.map(problemWith))
  const taken = wanted.filter((_, index) => problems[index] !== undefined)
  if (taken.length === 0) return
  const variables = [...new Set(taken.map(({ variable }) => variable))]
  throw new StepFailed(
    problems.filter((problem) => problem !== undefined).join('\n'),
    `Stop the process${taken.length === 1 ? '' : 'es'}, or choose other ports: ${variables
      .map((variable) => `${variable}=<port>`)
      .join(' ')} npm run up`,
  )
}

function moves(wanted: readonly WantedPort[], port: number): string {
  return [...new Set(wanted.filter((one) => one.port === port).map(({ variable }) => variable))].join(' or ')
}

async function problemWith({ port, host, purpose, variable }: WantedPort): Promise<string | undefined> {
  const code = (await listenError(port, host)) ?? ((await answers(port)) ? 'EADDRINUSE' : undefined)
  if (code === undefined) return undefined
  const name = `port ${port} for ${purpose} (${variable})`
  if (code === 'EADDRINUSE') return `${name} is taken by ${holderOfPort(port) ?? 'an unknown process'}`
  if (code === 'EACCES') return `${name} can be used by root only`
  return `${name}: cannot listen on ${host}: ${code}`
}

function listenError(port: number, host: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(undefined)))
  })
}

/** True when a process accepts connections. On macOS, listening on 127.0.0.1 succeeds even if another process listens on all addresses. */
function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', timeout: 500 })
    const settle = (answered: boolean) => {
      socket.destroy()
      resolve(answered)
    }
    socket.once('connect', () => settle(true))
    socket.once('error', () => settle(false))
    socket.once('timeout', () => settle(false))
  })
}
