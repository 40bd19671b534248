// A client that writes bytes as it likes, for what a proper HTTP client never does.
import { connect } from 'node:net'

/** Sends `parts` in packets of their own to a local port, and resolves with all that came back until the server closed. */
export async function exchange(port: number, parts: readonly string[]): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  let received = ''
  socket.on('data', (chunk: Buffer) => {
    received += chunk.toString()
  })
  const closed = new Promise((resolve) => socket.on('close', resolve))
  for (const part of parts) {
    socket.write(part)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  await closed
  return received
}
