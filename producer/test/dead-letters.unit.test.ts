// /dead_letters without a broker: closed to whom nobody let in, and plain sentences for what is not right.
import { type DeadLetterDesk, DeadLettersUnavailable, type Worked } from '@ims/messaging'
import { describe, expect, it } from '@jest/globals'
import express from 'express'
import request from 'supertest'
import { problemHandler } from '../src/problem.ts'
import { createApp } from '../src/producer.ts'
import { deadLettersRouter, onlyAdmin } from '../src/routes/dead-letters.ts'
import { appUnderTest } from './app-under-test.ts'
import { API_KEYS, asAdmin } from './dead-letters-keys.ts'

const nothing: Worked = { total: 0, seen: 0, done: 0, left: 0, reasons: new Map() }

/** A desk that notes what it is asked, on which `parts` differ. */
function notingDesk(parts: Partial<DeadLetterDesk> = {}) {
  const asked: string[] = []
  const noting = async (what: string): Promise<Worked> => {
    asked.push(what)
    return nothing
  }
  const desk: DeadLetterDesk = {
    browse: async () => await noting('browse'),
    redrive: async () => await noting('redrive'),
    discard: async () => await noting('discard'),
    ...parts,
  }
  return { desk, asked }
}

/** The application as the producer makes it, with that desk, and somebody who has an admin key. */
function withDesk(parts: Partial<DeadLetterDesk> = {}, environment: Record<string, string> = { API_KEYS }) {
  const { desk, asked } = notingDesk(parts)
  const { service, config, rabbitmq, lines } = appUnderTest({ environment })
  const app = createApp({ broker: rabbitmq.open(), config, service, deadLetters: { desk, authorise: onlyAdmin } })
  return { app, asked, lines, admin: asAdmin(app) }
}
const EVERYTHING = [
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
] as const

const failing = (trouble: DeadLettersUnavailable['trouble']) => async () => {
  throw new DeadLettersUnavailable(trouble, 'password guest refused at 10.0.0.1')
}

describe('/dead_letters', () => {
  describe.each([
    ['while there are no keys', {}, undefined],
    ['without a key', { API_KEYS }, undefined],
    ['with a key to read', { API_KEYS }, 'key-read'],
    ['with a key to write', { API_KEYS }, 'key-write'],
    ['with a wrong key', { API_KEYS }, 'key-wrong'],
  ])('%s', (_, environment, key) => {
    it.each(EVERYTHING)('is closed: %s %s asks the broker nothing', async (method, path) => {
      const { app, asked } = withDesk({}, environment)
      const response = await request(app)
        [method](path)
        .set(key === undefined ? {} : { 'X-API-Key': key })
        .send({ all: true })
      expect([401, 403]).toContain(response.status)
      expect(response.headers['content-type']).toBe('application/problem+json')
      expect(asked).toEqual([])
    })
  })

  it.each(EVERYTHING)('is closed by itself, whatever the door before it lets through: %s %s', async (method, path) => {
    const { desk, asked } = notingDesk()
    const { config, service } = appUnderTest()
    const app = express().use('/dead_letters', deadLettersRouter({ desk, authorise: onlyAdmin }, { config, service }))
    app.use(problemHandler(service.log))
    expect((await request(app)[method](path).send({ all: true })).status).toBe(403)
    expect(asked).toEqual([])
  })

  it('is not there where nobody said who may come in', async () => {
    const { app } = appUnderTest({ environment: { API_KEYS } })
    expect((await asAdmin(app).get('/dead_letters')).status).toBe(404)
  })

  it.each([
    [{}, 'must have exactly one of all, ids, reason'],
    [{ all: true, reason: 'invalid' }, 'must have exactly one of all, ids, reason'],
    [{ all: false }, 'Invalid input: expected true'],
    [{ ids: [] }, 'Too small'],
    [{ all: true, most: 1_000_000 }, 'Too big'],
    [{ all: true, dryrun: true }, 'Unrecognized key: "dryrun"'],
    [[], 'Invalid input'],
  ])('refuses the body %j, and says why', async (body, why) => {
    const { admin, asked } = withDesk()
    for (const verb of ['redrive', 'discard']) {
      const response = await admin.post(`/dead_letters/create_item/${verb}`).send(body)
      expect(response.status).toBe(400)
      expect(JSON.stringify(response.body.errors)).toContain(JSON.stringify(why).slice(1, -1))
    }
    expect(asked).toEqual([])
  })

  it('names the queues that there are, for one that there is not', async () => {
    const response = await withDesk().admin.get('/dead_letters/orders')
    expect(response.status).toBe(404)
    expect(response.body.detail).toContain('healthcheck, create_item, stock_management, order_processing')
    expect((await withDesk().admin.get('/dead_letters/%ff')).status).toBe(404)
  })

  it.each([
    ['/dead_letters/create_item?limit=0', 'limit'],
    ['/dead_letters/create_item?limit=1001', 'limit'],
    ['/dead_letters/create_item?after=-1', 'after'],
  ])('refuses %s', async (path, name) => {
    const response = await withDesk().admin.get(path)
    expect(response.status).toBe(400)
    expect(response.body.errors).toEqual([expect.objectContaining({ path: name })])
  })

  it('answers 405 and what there is, for other methods', async () => {
    const response = await withDesk().admin.put('/dead_letters/create_item/redrive')
    expect(response.status).toBe(405)
    expect(response.headers.allow).toBe('POST')
  })

  it.each([
    ['busy', 409],
    ['no-queue', 404],
    ['not-permitted', 503],
    ['disconnected', 503],
  ] as const)('answers %s with %i, and keeps what the broker said to itself', async (trouble, status) => {
    const { admin } = withDesk({ browse: failing(trouble), redrive: failing(trouble) })
    for (const asking of [
      admin.get('/dead_letters/create_item'),
      admin.get('/dead_letters/create_item/export'),
      admin.post('/dead_letters/create_item/redrive').send({ all: true }),
    ]) {
      const response = await asking
      expect(response.status).toBe(status)
      expect(response.text).not.toContain('10.0.0.1')
    }
  })

  it('answers a redrive that failed in the middle with what was done, and not with success', async () => {
    const stopped = new DeadLettersUnavailable('disconnected', 'gone')
    const { admin, lines } = withDesk({ redrive: async () => ({ ...nothing, total: 9, done: 5, left: 4, stopped }) })
    const response = await admin.post('/dead_letters/create_item/redrive').send({ all: true })
    expect(response.status).toBe(503)
    expect(response.body).toMatchObject({ done: 5, left: 4 })
    expect(lines).toContainEqual(
      expect.objectContaining({
        level: 'warn',
        fields: expect.objectContaining({ client: 'adminer', verb: 'redrive', done: 5 }),
      }),
    )
  })

  it('says that it is not complete when it stopped at its limit or for want of time', async () => {
    for (const [stopped, said] of [
      ['limit', 'limit'],
      ['interrupted', 'time'],
    ] as const) {
      const { admin } = withDesk({ discard: async () => ({ ...nothing, total: 9, done: 5, left: 4, stopped }) })
      const response = await admin.post('/dead_letters/create_item/discard').send({ all: true })
      expect(response.body).toMatchObject({ discarded: 5, left: 4, complete: false, stopped: said })
    }
  })

  it('cuts off an export that ends too early', async () => {
    const { admin } = withDesk({ browse: async () => ({ total: 2, seen: 1 }) })
    await expect(admin.get('/dead_letters/create_item/export')).rejects.toThrow(/hang up|aborted|ECONNRESET/)
  })
})
