// Checks how much memory a request allocates, and how much it holds until the broker confirms the message. Both cause garbage
// collection, which is the largest part of the cost of a request. Memory that Node allocates for the socket is not counted.
import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { expect, it } from '@jest/globals'
import { allocatedBytes, heldBytes } from 'testkit'
import { httpEnvironment } from '../src/config.ts'
import { createApp } from '../src/producer.ts'
import { apple, JSON_TYPE } from './app-under-test.ts'

type Publish = () => Promise<{ messageId: string }>
const MESSAGE_ID = '018f0000-0000-7000-8000-000000000000'

/** Returns a function that sends a request to the application without a server, and resolves when the response ends. */
function serving(
  method: string,
  url: string,
  body?: string,
  publish: Publish = async () => ({ messageId: MESSAGE_ID }),
): () => Promise<void> {
  const service = { log: quiet(), meter: { count() {}, observe() {} }, stopping: new AbortController().signal }
  const never = () => Promise.reject(new Error('unexpected request'))
  const broker = { publisher: { publish }, requester: { request: never, command: never } }
  const app = createApp({ broker, config: httpEnvironment.parse({}), service })
  const socket = new Socket()
  return async () => {
    const request = new IncomingMessage(socket)
    Object.assign(request, { method, url, httpVersion: '1.1' })
    request.headers = { host: 'localhost', 'content-type': JSON_TYPE }
    const response = new ServerResponse(request)
    const ended = new Promise((resolve) => {
      response.end = (...given: unknown[]) => {
        resolve(given)
        return response
      }
    })
    if (body !== undefined) request.push(body)
    request.push(null)
    app(request, response)
    await ended
    if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}`)
    response.emit('close')
  }
}

const quiet = () => ({ debug() {}, info() {}, warn() {}, error() {} })

// About 25 % above the measured 9,500 and 14,800 bytes. Through Express's router, the requests allocate 15,600 and 19,400 bytes.
it.each([
  ['GET', '/healthcheck', 12_000, undefined],
  ['POST', '/create_item', 18_000, JSON.stringify(apple)],
])('%s %s allocates less than %i bytes', async (method, url, maxBytes, body) => {
  expect(await allocatedBytes(serving(method, url, body))).toBeLessThan(maxBytes)
})

it('POST /create_item holds less than 5,210 bytes until the broker confirms the message', async () => {
  // Keeps the promises reachable. Otherwise the waiting requests would be garbage.
  const unconfirmed: unknown[] = []
  const never = () => new Promise<{ messageId: string }>((confirmed) => unconfirmed.push(confirmed))
  const send = serving('POST', '/create_item', JSON.stringify(apple), never)
  // 25 % above the measured 4,170 bytes. With suspended async functions and the bytes of the body, it would hold 5,670 bytes.
  expect(await heldBytes(() => void send())).toBeLessThan(5_210)
})
