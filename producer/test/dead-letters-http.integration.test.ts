// /dead_letters on a real broker.
import {
  consumerEnvironment,
  contracts,
  createItem,
  deadLetterDesk,
  openBroker,
  rabbitmqEnvironment,
} from '@ims/messaging'
import { quietService } from '@ims/messaging/testing'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { connect } from 'amqplib'
import { eventually, type Servers, serversEnvironment, serversUnderTest, type TestSpace } from 'testkit'
import { definitions } from '../../accounts/src/definitions.ts'
import { createApp } from '../src/producer.ts'
import { adminEnvironment, appUnderTest, asAdmin } from './app-under-test.ts'
import { type BrokerPeer, DEAD, ids, openPeer, QUEUE } from './dead-letters-peer.ts'

describe('/dead_letters on RabbitMQ', () => {
  let servers: Servers
  let space: TestSpace
  let peer: BrokerPeer
  let app: ReturnType<typeof createApp>

  beforeAll(async () => {
    ;({ servers, space } = await serversUnderTest('dead_letters_http'))
    peer = await openPeer(space.rabbitmq)
    const { service, config, rabbitmq } = appUnderTest({ environment: adminEnvironment })
    const desk = deadLetterDesk(rabbitmqEnvironment.parse(serversEnvironment(space)), quietService)
    app = createApp({ broker: rabbitmq.open(), config, service, deadLetters: desk })
  })
  afterAll(async () => {
    await peer.close()
    await space.drop()
  })
  beforeEach(async () => await peer.empty())

  const post = (verb: string, body: object) => asAdmin(app).post(`/dead_letters/${QUEUE}/${verb}`).send(body)

  it('counts the dead letters of a queue by reason, and returns every queue', async () => {
    await peer.addDeadLetters(30, (number) => (number < 20 ? 'invalid' : 'too-large'))
    const response = await asAdmin(app).get('/dead_letters')
    expect(response.status).toBe(200)
    expect(response.body.queues).toContainEqual({
      queue: QUEUE,
      total: 30,
      counted: 30,
      reasons: { invalid: 20, 'too-large': 10 },
    })
    expect(response.body.queues).toHaveLength(contracts.length)
  })

  it('lists dead letters in pages, oldest first, and each page links to the next', async () => {
    await peer.addDeadLetters(25)
    const seen: string[] = []
    let next: string | undefined = `/dead_letters/${QUEUE}?limit=10`
    for (let page = 0; next !== undefined && page < 9; page += 1) {
      const response = await asAdmin(app).get(next)
      expect(response.body).toMatchObject({ queue: QUEUE, total: 25 })
      for (const { id } of response.body.letters) seen.push(id)
      next = /<(.*)>; rel="next"/.exec(response.headers.link ?? '')?.[1]
    }
    expect(seen).toEqual(ids(25))
  })

  it('returns one dead letter in full, and 404 for an unknown id', async () => {
    await peer.addDeadLetters(2)
    const response = await asAdmin(app).get(`/dead_letters/${QUEUE}/messages/id-1`)
    expect(response.body.letters).toMatchObject([
      { id: 'id-1', body: '{"number":1}', headers: { 'x-reason': 'invalid' } },
    ])
    const unknown = await asAdmin(app).get(`/dead_letters/${QUEUE}/messages/id-9`)
    expect(unknown.status).toBe(404)
    expect(unknown.body).toMatchObject({ type: 'urn:ims:problem:unknown-dead-letter' })
  })

  it('redrives up to `most` messages, and reports how many are left', async () => {
    await peer.addDeadLetters(25)
    const first = await post('redrive', { all: true, most: 10 })
    expect(first.body).toMatchObject({ redriven: 10, left: 15, complete: false, stopped: 'limit' })
    expect(first.body.outcomes).toBeUndefined()
    expect((await post('redrive', { all: true, dryRun: true })).body).toMatchObject({
      redriven: 0,
      wouldBe: 15,
      left: 15,
    })
    // A quorum queue counts requeued messages late, and the next redrive relies on that count.
    await eventually(async () => expect(await peer.depth(DEAD)).toBe(15))
    expect((await post('redrive', { all: true })).body).toMatchObject({ redriven: 15, left: 0, complete: true })
    expect(await peer.ids(QUEUE, 25)).toEqual(ids(25))
  })

  it('waits for the outcomes with Prefer: wait, and counts them', async () => {
    const config = rabbitmqEnvironment.parse(serversEnvironment(space))
    const consumer = await openBroker(config, quietService)
    await consumer.consume(createItem, async () => [], consumerEnvironment.parse({}))
    await peer.addDeadLetters(5)
    const response = await post('redrive', { all: true }).set('Prefer', 'wait=30')
    await consumer.close()
    expect([response.status, response.headers['preference-applied']]).toEqual([200, 'wait=30'])
    expect(response.body).toMatchObject({ redriven: 5, outcomes: { applied: 0, refused: { invalid: 5 }, unknown: 0 } })
    await eventually(async () => expect(await peer.depth(DEAD)).toBe(5))
    const late = await post('redrive', { all: true }).set('Prefer', 'wait=0')
    expect(late.body).toMatchObject({ redriven: 5, outcomes: { applied: 0, refused: {}, unknown: 5 } })
  })

  it('discards by id and by reason', async () => {
    await peer.addDeadLetters(5, (number) => (number < 2 ? 'invalid' : 'too-large'))
    expect((await post('discard', { ids: ['id-4', 'id-9'] })).body).toMatchObject({ discarded: 1, left: 4 })
    expect((await post('discard', { reason: 'too-large' })).body).toMatchObject({ discarded: 2, left: 2 })
    expect((await asAdmin(app).delete(`/dead_letters/${QUEUE}/messages/id-0`)).body).toMatchObject({
      discarded: 1,
      left: 1,
    })
    expect((await asAdmin(app).delete(`/dead_letters/${QUEUE}/messages/id-0`)).status).toBe(404)
    expect(await peer.ids(DEAD, 1)).toEqual(['id-1'])
    expect(await peer.depth(QUEUE)).toBe(0)
  })

  it('exports all dead letters as JSON lines, and returns 404 for a missing queue', async () => {
    await peer.addDeadLetters(300)
    const response = await asAdmin(app).get(`/dead_letters/${QUEUE}/export`).buffer()
    expect(response.headers['content-type']).toBe('application/x-ndjson')
    const lines = response.text.trimEnd().split('\n')
    expect(lines.map((line) => JSON.parse(line).id)).toEqual(ids(300))
    expect((await asAdmin(app).get(`/dead_letters/stock_management/export`)).status).toBe(404)
  })

  it('returns 409 while another consumer uses the queue, and closes its own connections', async () => {
    await peer.addDeadLetters(10)
    const release = await peer.occupy(DEAD)
    expect((await post('redrive', { all: true })).status).toBe(409)
    await release()
    await eventually(async () => expect((await post('redrive', { all: true })).status).toBe(200))
    await eventually(async () => {
      const connections = await servers.rabbitmq.ctl('list_connections', 'vhost', 'client_properties')
      expect(
        connections.split('\n').filter((line) => line.includes(space.rabbitmq.vhost) && /reading|redriving/.test(line)),
      ).toEqual([])
    })
  })

  it('needs no more permissions than the definitions give the producer', async () => {
    const { vhost, host, port } = space.rabbitmq
    const mine = definitions.permissions.find(({ user }) => user === 'producer')
    const username = `producer_of_${vhost}`
    await servers.rabbitmq.ctl('add_user', username, 'its-password')
    await servers.rabbitmq.ctl(
      'set_permissions',
      '-p',
      vhost,
      username,
      mine?.configure ?? '',
      mine?.write ?? '',
      mine?.read ?? '',
    )
    const environment = { ...serversEnvironment(space), RABBITMQ_USERNAME: username, RABBITMQ_PASSWORD: 'its-password' }
    const desk = deadLetterDesk(rabbitmqEnvironment.parse(environment), quietService)
    await peer.addDeadLetters(4)
    expect(await desk.redrive(QUEUE, { by: 'id', ids: new Set(['id-1', 'id-2']) })).toMatchObject({ done: 2, left: 2 })
    expect(await desk.discard(QUEUE, { by: 'all' }, { max: 1 })).toMatchObject({ done: 1, left: 1 })
    const own = await connect({
      hostname: host,
      port,
      username,
      password: 'its-password',
      vhost: encodeURIComponent(vhost),
    })
    const channel = await own.createChannel()
    channel.on('error', () => {})
    await expect(channel.get(QUEUE)).rejects.toThrow(/ACCESS.REFUSED/)
    await own.close()
    await servers.rabbitmq.ctl('delete_user', username)
  })

  it('returns 503 with the counts when the queue to redrive to does not exist', async () => {
    await peer.addDeadLetters(3)
    await servers.rabbitmq.ctl('-p', space.rabbitmq.vhost, 'delete_queue', QUEUE)
    const response = await post('redrive', { all: true })
    expect(response.status).toBe(503)
    expect(response.body).toMatchObject({ done: 0, left: 3 })
    expect(await peer.ids(DEAD, 3)).toEqual(ids(3))
  })
})
