// Checks which server responds on a port. RabbitMQ and MySQL both send their version before login.
import { connect } from 'node:net'

const TIMEOUT_MS = 2_000
const AMQP_HEADER = Buffer.from('AMQP\0\0\x09\x01', 'latin1')
const METHOD_FRAME = 1
// The type in one byte, the channel in two, and the size of the rest in four.
const FRAME_HEADER_BYTES = 7
const MYSQL_PROTOCOL = 10
const MYSQL_PACKET_HEADER_BYTES = 4

/** The version of the RabbitMQ on this port. Undefined when no RabbitMQ responds. */
export async function rabbitmqVersion(host: string, port: number): Promise<string | undefined> {
  const isWhole = (bytes: Buffer) =>
    bytes.length >= FRAME_HEADER_BYTES && bytes.length > FRAME_HEADER_BYTES + bytes.readUInt32BE(3)
  const answer = await firstBytes(host, port, AMQP_HEADER, isWhole)
  if (answer === undefined || answer[0] !== METHOD_FRAME) return undefined
  // An entry of the server properties: the key, 'S', the length in four bytes, the text.
  return /versionS\0\0\0.([0-9][0-9A-Za-z.+-]*)/s.exec(answer.toString('latin1'))?.[1]
}

/** `unknown` when any server accepts connections on this port. Undefined otherwise. */
export function acceptsConnections(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: TIMEOUT_MS })
    const done = (answer: string | undefined) => {
      socket.destroy()
      resolve(answer)
    }
    socket.once('connect', () => done('unknown'))
    socket.once('timeout', () => done(undefined))
    socket.once('error', () => done(undefined))
  })
}

/** The version of the MySQL or MariaDB on this port. Undefined when neither responds. */
export async function mysqlVersion(host: string, port: number): Promise<string | undefined> {
  const isWhole = (bytes: Buffer) => bytes.length > MYSQL_PACKET_HEADER_BYTES && bytes.includes(0, 5)
  const answer = await firstBytes(host, port, undefined, isWhole)
  if (answer === undefined || answer[MYSQL_PACKET_HEADER_BYTES] !== MYSQL_PROTOCOL) return undefined
  const text = answer.toString('latin1', MYSQL_PACKET_HEADER_BYTES + 1)
  // MariaDB 10 adds the prefix 5.5.5- to its version, for clients that expect an old MySQL.
  return text.slice(0, text.indexOf('\0')).replace(/^5\.5\.5-/, '')
}

function firstBytes(
  host: string,
  port: number,
  greeting: Buffer | undefined,
  enough: (bytes: Buffer) => boolean,
): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    let bytes = Buffer.alloc(0)
    const socket = connect({ host, port })
    const finish = (answer: Buffer | undefined) => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(TIMEOUT_MS, () => finish(undefined))
    socket.on('error', () => finish(undefined))
    socket.on('close', () => finish(undefined))
    socket.on('connect', () => {
      if (greeting !== undefined) socket.write(greeting)
    })
    socket.on('data', (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk])
      if (enough(bytes)) finish(bytes)
    })
  })
}
