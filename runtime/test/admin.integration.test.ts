// The request timeout of the admin port. It is tested here because its ten seconds are too long for `npm run check`.
import { once } from 'node:events'
import { connect } from 'node:net'
import { expect, it } from '@jest/globals'
import { openAdminPort } from '../src/admin.ts'
import { createMeter } from '../src/index.ts'

const quiet = { debug() {}, info() {}, warn() {}, error() {} }

it('the admin port responds with 408 to a connection that sends no request, and closes it', async () => {
  const readiness = async () => ({ reasons: [], warnings: [] })
  const { close, port } = await openAdminPort({ host: '127.0.0.1', port: 0 }, createMeter('s'), readiness, quiet)
  const socket = connect(port, '127.0.0.1')
  const received: Buffer[] = []
  socket.on('data', (chunk) => received.push(chunk))
  await once(socket, 'close')
  expect(Buffer.concat(received).toString()).toMatch(/^HTTP\/1\.1 408 /)
  await close()
})
