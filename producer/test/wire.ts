// A client that sends raw bytes, for requests that an HTTP client cannot send.
import { connect } from 'node:net'

/** Sends each of `parts` in its own packet to a local port, and resolves with everything received until the connection closes. */
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
