// /dead_letters without a broker: access, validation and errors.
import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { type DeadLetter, type DeadLetterDesk, DeadLettersUnavailable, type Worked } from '@ims/messaging'
import { describe, expect, it } from '@jest/globals'
import request from 'supertest'
import { z } from 'zod'
import { createApp } from '../src/producer.ts'
import { ADMIN_KEY, adminEnvironment, appUnderTest, asAdmin } from './app-under-test.ts'

const nothing: Worked = {
  total: 0,
  seen: 0,
  done: 0,
  left: 0,
  ids: { messageIds: [], requestIds: [] },
  reasons: new Map(),
  seenReasons: new Map(),
  maybeSent: 0,
}

const letter: DeadLetter = {
  id: 'id-0',
  requestId: null,
  queue: 'create_item',
  reason: 'invalid',
  error: null,
  failedAt: null,
  by: null,
  attempts: null,
  bytes: 2,
  encoding: 'utf8',
  shortened: false,
  body: '{}',
  properties: {},
  headers: {},
}

/** The application with a desk that records its calls. `parts` replaces members of the desk. */
function withDesk(parts: Partial<DeadLetterDesk> = {}, hasKeys = true) {
  const calls: string[] = []
  const record = async (call: string): Promise<Worked> => {
    calls.push(call)
    return nothing
  }
  const desk: DeadLetterDesk = {
    browse: async () => await record('browse'),
    redrive: async () => await record('redrive'),
    discard: async () => await record('discard'),
    ...parts,
  }
  const { service, config, rabbitmq, lines } = appUnderTest({ environment: hasKeys ? adminEnvironment : {} })
  const app = createApp({ broker: rabbitmq.open(), config, service, deadLetters: desk })
  return { app, calls, lines }
}
const failing = (trouble: DeadLettersUnavailable['trouble']) => async () => {
  throw new DeadLettersUnavailable(trouble, 'password guest refused at 10.0.0.1')
}

describe('/dead_letters', () => {
  it.each([
    ['get', '/dead_letters'],
    ['get', '/dead_letters/create_item'],
    ['get', '/dead_letters/create_item/export'],
    ['get', '/dead_letters/create_item/messages/x'],
    ['get', '/dead_letters/no-such-queue'],
    ['get', '/dead_letters/%ff'],
    ['post', '/dead_letters/create_item/redrive'],
    ['post', '/dead_letters/create_item/discard'],
    ['delete', '/dead_letters/create_item/messages/x'],
    ['options', '/dead_letters/create_item'],
  ] as const)('is closed without API keys: %s %s returns 403 and does not use the broker', async (method, path) => {
    const { app, calls } = withDesk({}, false)
    const response = await request(app)[method](path).send({ all: true })
    expect(response.status).toBe(403)
    expect(response.headers['content-type']).toBe('application/problem+json')
    expect(response.body).toMatchObject({ type: 'urn:ims:problem:forbidden' })
    expect(calls).toEqual([])
  })

  it.each(['get', 'post', 'delete', 'put'] as const)('requires a key, even for unknown paths: %s', async (method) => {
    const { app, calls } = withDesk()
    for (const path of ['/dead_letters', '/dead_letters/create_item/redrive', '/dead_letters/none'])
      expect((await request(app)[method](path).send({ all: true })).status).toBe(401)
    expect(calls).toEqual([])
  })

  it.each([
    [{}, 'must have exactly one of all, ids, reason'],
    [{ all: true, reason: 'invalid' }, 'must have exactly one of all, ids, reason'],
    [{ all: false }, 'Invalid input: expected true'],
    [{ ids: [] }, 'Too small'],
    [{ all: true, most: 1_000_000 }, 'Too big'],
    [{ all: true, dryrun: true }, 'Unrecognized key: "dryrun"'],
    [[], 'Invalid input'],
  ])('rejects the body %j with the error: %s', async (body, why) => {
    const { app, calls } = withDesk()
    for (const verb of ['redrive', 'discard']) {
      const response = await asAdmin(app).post(`/dead_letters/create_item/${verb}`).send(body)
      expect(response.status).toBe(400)
      expect(JSON.stringify(response.body.errors)).toContain(JSON.stringify(why).slice(1, -1))
    }
    expect(calls).toEqual([])
  })

  it.each(['redrive', 'discard'])(
    'rejects an Idempotency-Key for %s, because a repeated request can change more messages',
    async (verb) => {
      const { app, calls } = withDesk()
      const response = await asAdmin(app)
        .post(`/dead_letters/create_item/${verb}`)
        .set('Idempotency-Key', '"a"')
        .send({ all: true })
      expect([response.status, response.body.errors]).toMatchObject([400, [{ path: 'Idempotency-Key' }]])
      expect(calls).toEqual([])
    },
  )

  it('names the existing queues when a queue does not exist', async () => {
    const response = await asAdmin(withDesk().app).get('/dead_letters/orders')
    expect(response.status).toBe(404)
    expect(response.body.detail).toContain('healthcheck, create_item, stock_management, order_processing')
    expect((await asAdmin(withDesk().app).get('/dead_letters/%ff')).status).toBe(404)
  })

  it.each([
    ['/dead_letters/create_item?limit=0', 'limit'],
    ['/dead_letters/create_item?limit=1001', 'limit'],
    ['/dead_letters/create_item?after=-1', 'after'],
  ])('rejects %s with 400, and names the parameter %s', async (path, name) => {
    const response = await asAdmin(withDesk().app).get(path)
    expect(response.status).toBe(400)
    expect(response.body.errors).toEqual([expect.objectContaining({ path: name })])
  })

  it('returns 405 with the allowed methods for a method that the path does not support', async () => {
    const response = await asAdmin(withDesk().app).put('/dead_letters/create_item/redrive')
    expect(response.status).toBe(405)
    expect(response.headers.allow).toBe('POST')
  })

  it.each([
    ['busy', 409],
    ['no-queue', 404],
    ['not-permitted', 503],
    ['disconnected', 503],
  ] as const)('maps the error %s to %i, without the message of the broker', async (trouble, status) => {
    const { app } = withDesk({ browse: failing(trouble), redrive: failing(trouble) })
    for (const asking of [
      asAdmin(app).get('/dead_letters/create_item'),
      asAdmin(app).get('/dead_letters/create_item/export'),
      asAdmin(app).post('/dead_letters/create_item/redrive').send({ all: true }),
    ]) {
      const response = await asking
      expect(response.status).toBe(status)
      expect(response.text).not.toContain('10.0.0.1')
    }
  })

  it('returns 503 with the counts when a redrive fails halfway, and logs a warning', async () => {
    const stopped = new DeadLettersUnavailable('disconnected', 'gone')
    const { app, lines } = withDesk({ redrive: async () => ({ ...nothing, total: 9, done: 5, left: 4, stopped }) })
    const response = await asAdmin(app).post('/dead_letters/create_item/redrive').send({ all: true })
    expect(response.status).toBe(503)
    expect(response.body).toMatchObject({ done: 5, left: 4 })
    expect(lines).toContainEqual(
      expect.objectContaining({ level: 'warn', fields: expect.objectContaining({ verb: 'redrive', done: 5 }) }),
    )
  })

  it('reports a discard as incomplete when it stopped at its limit or ran out of time', async () => {
    for (const [stopped, logged] of [
      ['limit', 'limit'],
      ['interrupted', 'time'],
    ] as const) {
      const { app } = withDesk({ discard: async () => ({ ...nothing, total: 9, done: 5, left: 4, stopped }) })
      const response = await asAdmin(app).post('/dead_letters/create_item/discard').send({ all: true })
      expect(response.body).toMatchObject({ discarded: 5, left: 4, complete: false, stopped: logged })
    }
  })

  it('aborts the response of an incomplete export', async () => {
    const { app } = withDesk({ browse: async () => ({ total: 2, seen: 1 }) })
    await expect(asAdmin(app).get('/dead_letters/create_item/export')).rejects.toThrow(/hang up|aborted|ECONNRESET/)
  })

  it('resets the connection of an incomplete export, because in HTTP/1.0 a normal close marks the end of a response', async () => {
    const { app } = withDesk({
      browse: async (_queue, visit) => {
        await visit(letter, 2, Buffer.from(letter.body))
        return { total: 2, seen: 1 }
      },
    })
    const server = createServer(app).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = z.object({ port: z.number() }).parse(server.address())
    const socket = connect(port, '127.0.0.1')
    socket.write(`GET /dead_letters/create_item/export HTTP/1.0\r\nX-API-Key: ${ADMIN_KEY}\r\n\r\n`)
    await expect(text(socket)).rejects.toMatchObject({ code: 'ECONNRESET' })
    server.close()
  })

  it('returns the number of messages that may have been redriven when their outcome is unknown', async () => {
    const stopped = new DeadLettersUnavailable('unconfirmed', 'no answer')
    const { app } = withDesk({
      redrive: async () => ({ ...nothing, total: 9, done: 5, left: 4, stopped, maybeSent: 3 }),
    })
    const response = await asAdmin(app).post('/dead_letters/create_item/redrive').send({ all: true })
    expect(response.status).toBe(503)
    expect(response.body).toMatchObject({ done: 5, left: 4, maybeSent: 3, detail: expect.stringContaining('Up to 3') })
  })
})

describe('a dead letter', () => {
  const letters = ['a\u0007', 'b'].map((id) => ({ ...letter, id }))
  const browse: DeadLetterDesk['browse'] = async (_, visit) => {
    for (const each of letters) if (!(await visit(each, letters.length, Buffer.alloc(0)))) break
    return { total: letters.length, seen: letters.length }
  }

  it('is found by its id as a terminal shows it, as it is by DELETE', async () => {
    const { app } = withDesk({ browse })
    const { body } = await asAdmin(app).get('/dead_letters/create_item/messages/a%5Cu0007')
    expect(body).toMatchObject({ letters: [{ id: 'a\u0007' }] })
  })

  it('is on a page whose link stays on this host, however many slashes the request has', async () => {
    const { app } = withDesk({ browse })
    const { headers } = await asAdmin(app).get('//dead_letters/create_item?limit=1')
    expect(headers.link).toBe('</dead_letters/create_item?limit=1&after=1>; rel="next"')
  })
})
