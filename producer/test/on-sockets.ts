// Starts the producer on a real port. Closes its servers and the sockets of clients after each test.
import type { Socket } from 'node:net'
import { afterEach } from '@jest/globals'
import { type Listening, listen } from '../src/http/server.ts'
import { appUnderTest } from './app-under-test.ts'

/** Closed after each test, even if the test fails. Otherwise jest would not exit. */
export const servers: Listening[] = []
export const sockets: Socket[] = []
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  await Promise.all(servers.splice(0).map((server) => server.close()))
})

export async function start(options: Parameters<typeof appUnderTest>[0] = {}) {
  const under = appUnderTest({ ...options, environment: { PORT: '0', ...options.environment } })
  const server = await listen(under.app, under.config, under.service)
  servers.push(server)
  const { port } = server
  return { ...under, server, port, url: (path: string) => `http://127.0.0.1:${port}${path}` }
}
