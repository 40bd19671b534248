// The process that listens on a port.
import { once } from 'node:events'
import { createServer } from 'node:net'
import { describe, expect, it } from '@jest/globals'
import { listenersIn, portHolder } from '../src/port-holder.ts'

describe('the holder of a port', () => {
  const onLinux = process.platform === 'linux' ? it : it.skip
  onLinux('is the process that listens on the port, with its command line', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    try {
      expect(portHolder(port)).toEqual({ pid: process.pid, command: expect.stringContaining(process.argv0) })
    } finally {
      server.close()
      await once(server, 'close')
    }
    expect(portHolder(port)).toBeUndefined()
  })

  it('is found by listening sockets only, on any address', () => {
    const line = (address: string, state: string, inode: string) =>
      `   0: ${address} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000  1000        0 ${inode} 1 0 100 0 0 10 0`
    const table = [
      'head',
      line('0100007F:1388', '0A', '11'),
      line('00000000:1388', '0A', '12'),
      line('0100007F:1388', '01', '13'),
      line('0100007F:1389', '0A', '14'),
    ].join('\n')
    expect(listenersIn(table, 5000)).toEqual([
      { inode: '11', uid: '1000' },
      { inode: '12', uid: '1000' },
    ])
  })
})
