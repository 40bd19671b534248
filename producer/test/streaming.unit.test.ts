// A streamed list requests one page ahead, follows the pace of the client, and is aborted when a page fails.
import { connect, type Socket } from 'node:net'
import { BadReply } from '@ims/messaging'
import { afterEach, describe, expect, it } from '@jest/globals'
import type { Limits } from '../src/http/limits.ts'
import { type Listening, listen } from '../src/http/server.ts'
import { appUnderTest } from './app-under-test.ts'
import { pagesInTurn } from './consumer-four.ts'
import { until } from './until.ts'

const smallPage = (number: number) =>
  JSON.stringify([{ sku: `s${number}`, name: 'n', label: 'l', price: 1, quantity: 1 }])
/** About 1 MB, more than a socket buffers for a client that does not read. */
const largePage = JSON.stringify([{ sku: 's', name: 'n'.repeat(1_000_000), label: 'l', price: 1, quantity: 1 }])

describe('a streamed list', () => {
  const servers: Listening[] = []
  const sockets: Socket[] = []
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy()
    await Promise.all(servers.splice(0).map((server) => server.close()))
  })

  async function start(
    requester: ReturnType<typeof pagesInTurn>,
    environment: Record<string, string> = {},
    limits: Partial<Limits> = {},
  ) {
    const under = appUnderTest({ broker: { requester }, environment: { PORT: '0', ...environment }, limits })
    const server = await listen(under.app, under.config, under.service)
    servers.push(server)
    return { ...under, url: `http://127.0.0.1:${server.port}/order_processing`, port: server.port }
  }

  /** A client that requests the list and does not read it. */
  function stalledClient(port: number): Socket {
    const socket = connect(port, '127.0.0.1')
    sockets.push(socket)
    socket.on('error', () => {})
    socket.pause()
    socket.write('GET /order_processing HTTP/1.1\r\nHost: a\r\n\r\n')
    return socket
  }

  it('requests the next page while it writes the current one', async () => {
    let release = () => {}
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    const asked: number[] = []
    const { url } = await start(
      pagesInTurn([smallPage(1), smallPage(2), smallPage(3)], async (page) => {
        asked.push(page)
        if (page === 2) await held
      }),
    )
    const response = await fetch(url)
    const reader = response.body?.getReader()
    const first = await reader?.read()
    expect(Buffer.from(first?.value ?? []).toString()).toBe(smallPage(1).slice(0, -1))
    expect(asked).toEqual([1, 2])
    release()
    await reader?.cancel()
  })

  it('stops requesting pages while the client does not read, and continues when it does', async () => {
    const asked: number[] = []
    const pages = Array.from({ length: 40 }, () => largePage)
    const { port } = await start(pagesInTurn(pages, (page) => void asked.push(page)))
    const client = stalledClient(port)
    await until(() => asked.length > 2)
    // Waits until the socket buffers are full.
    for (let before = 0; before < asked.length; ) {
      before = asked.length
      await new Promise((resolve) => setTimeout(resolve, 300))
    }
    expect(asked.length).toBeLessThan(20)
    client.resume()
    await until(() => asked.length === 40)
  })

  it('requests larger pages while the client waits for them, and a smaller page after a page waited for the client', async () => {
    const limits: unknown[] = []
    const pages = Array.from({ length: 30 }, (_, page) => (page < 6 ? smallPage(page) : largePage))
    const requester = pagesInTurn(pages, (_, headers) => void limits.push(headers['x-limit']))
    const { port } = await start(requester, {}, { pagesMaxBytes: Number.MAX_SAFE_INTEGER })
    const client = stalledClient(port)
    await until(() => limits.length > 6)
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(limits.slice(0, 5)).toEqual([1_000, 2_000, 4_000, 5_000, 5_000])
    const whileStalled = limits.length
    client.resume()
    await until(() => limits.length === 30)
    expect(limits[whileStalled]).toBe(2_500)
  })

  it('stops requesting pages when the client has disconnected', async () => {
    const asked: number[] = []
    const pages = Array.from({ length: 1_000 }, () => largePage)
    const { port, lines } = await start(pagesInTurn(pages, (page) => void asked.push(page)))
    const client = stalledClient(port)
    await until(() => asked.length > 2)
    client.destroy()
    await until(() => lines.some(({ message }) => message === 'request'))
    const whenGone = asked.length
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(asked.length).toBeLessThanOrEqual(whenGone + 1)
    expect(asked.length).toBeLessThan(100)
    expect(lines.filter(({ level }) => level === 'error')).toEqual([])
  })

  it('disconnects a client that reads nothing for too long', async () => {
    const pages = Array.from({ length: 100 }, () => largePage)
    const { port, lines } = await start(pagesInTurn(pages), { HTTP_STALL_TIMEOUT_MS: '100' })
    stalledClient(port)
    await until(() => lines.some(({ message }) => message === 'request'))
    expect(lines.find(({ message }) => message === 'request')?.fields).toMatchObject({ cutOff: true })
  })

  it.each([
    ['fails', new BadReply('secret detail')],
    ['fails unexpectedly', new Error('secret detail')],
  ])('aborts the connection when a later page %s, and the received part is not valid JSON', async (_, error) => {
    const { url, lines } = await start(
      pagesInTurn([smallPage(1), smallPage(2), smallPage(3)], async (page) => {
        if (page === 3) throw error
      }),
    )
    const response = await fetch(url)
    expect(response.status).toBe(200)
    let text = ''
    const reading = (async () => {
      for await (const chunk of response.body ?? []) text += Buffer.from(chunk).toString()
    })()
    await expect(reading).rejects.toThrow()
    expect(() => JSON.parse(text)).toThrow()
    expect(text).not.toContain('secret')
    expect(lines.some(({ level, fields }) => level !== 'info' && JSON.stringify(fields).includes('secret'))).toBe(true)
  })

  it('aborts the list when x-next does not increase', async () => {
    const { url } = await start({
      request: async (query) => {
        const json = smallPage(1)
        return { body: () => query.reply.parse(JSON.parse(json)), raw: Buffer.from(json), headers: { 'x-next': 1 } }
      },
      command: () => Promise.reject(new Error('unexpected command')),
    })
    await expect(fetch(url).then((response) => response.text())).rejects.toThrow()
  })
})
