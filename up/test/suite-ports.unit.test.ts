// The check of the ports before startup, and the settings of `up`.
import { once } from 'node:events'
import { createServer } from 'node:net'
import { describe, expect, it } from '@jest/globals'
import { freePorts } from 'testkit/servers/free-ports'
import { checkPorts, type WantedPort } from '../src/suite/ports.ts'
import { StepFailed } from '../src/suite/progress.ts'
import { readSettings } from '../src/suite/settings.ts'

const wanted = (port: number, purpose = 'producer (HTTP)', variable = 'PORT'): WantedPort => ({
  port,
  host: '127.0.0.1',
  purpose,
  variable,
})

async function failureOf(ports: readonly WantedPort[]): Promise<StepFailed> {
  const error: unknown = await checkPorts(ports).then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (error instanceof StepFailed) return error
  throw new Error(`expected StepFailed, got ${String(error)}`)
}

describe('the ports of the suite', () => {
  it('are accepted when they are free', async () => {
    const ports = await freePorts(3)
    await expect(checkPorts(ports.map((port) => wanted(port)))).resolves.toBeUndefined()
  })

  for (const host of ['127.0.0.1', '0.0.0.0']) {
    it(`are rejected when a process listens on ${host}; the error names port, variable, process and command`, async () => {
      const server = createServer().listen(0, host)
      await once(server, 'listening')
      const address = server.address()
      const port = typeof address === 'object' && address !== null ? address.port : 0
      const [free = 0] = await freePorts(1)
      try {
        const failure = await failureOf([wanted(port), wanted(free, 'consumer_one (admin)', 'ADMIN_PORT_BASE')])
        expect(failure.message).toContain(
          `port ${port} for producer (HTTP) (PORT) is taken by process ${process.pid} (`,
        )
        expect(failure.message).toContain(process.argv0)
        expect(failure.message).not.toContain(String(free))
        expect(failure.todo).toContain('PORT=<port>')
        expect(failure.todo).not.toContain('ADMIN_PORT_BASE')
      } finally {
        server.close()
      }
    })
  }

  it('are rejected when two services have the same port', async () => {
    const failure = await failureOf([wanted(9091), wanted(9091, 'consumer_one (admin)', 'ADMIN_PORT_BASE')])
    expect(failure.message).toBe('port 9091 is configured for producer (HTTP) and for consumer_one (admin)')
    expect(failure.todo).toBe('Set PORT or ADMIN_PORT_BASE.')
  })
})

describe('the settings of up', () => {
  it('have defaults, and an empty variable counts as not set', () => {
    expect(readSettings({ PORT: '' })).toEqual({
      port: 5000,
      adminPortBase: 9090,
      httpHost: '127.0.0.1',
      shutdownTimeoutMs: 20_000,
      directory: undefined,
      http: 'http://127.0.0.1:5000',
    })
  })

  it('report every wrong variable at once', () => {
    expect(() => readSettings({ PORT: '12x', ADMIN_PORT_BASE: '65535' })).toThrow(/PORT: .*\nADMIN_PORT_BASE: /)
  })

  it('include a loopback URL when the producer listens on all addresses', () => {
    expect(readSettings({ HTTP_HOST: '0.0.0.0', PORT: '80' }).http).toBe('http://127.0.0.1:80')
    expect(readSettings({ HTTP_HOST: '::1' }).http).toBe('http://[::1]:5000')
  })
})
