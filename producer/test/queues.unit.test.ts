// GET /queues: the state of each queue, one query to the broker for concurrent callers, and errors of the broker.
import { contracts, NotAccepted, OutcomeUnknown } from '@ims/messaging'
import { describe, expect, it } from '@jest/globals'
import request from 'supertest'
import { createApp } from '../src/producer.ts'
import { appUnderTest, failing } from './app-under-test.ts'

function queuesUnderTest(over: object = {}) {
  const { config, service, rabbitmq } = appUnderTest()
  let asked = 0
  const broker = rabbitmq.open({ publishes: contracts })
  const queueStates: typeof broker.queueStates = async (...names) => {
    asked += 1
    return await broker.queueStates(...names)
  }
  return { app: createApp({ broker: { ...broker, queueStates, ...over }, config, service }), asked: () => asked }
}

describe('GET /queues', () => {
  it('returns the number of messages in each queue', async () => {
    const { app } = queuesUnderTest()
    await request(app).post('/create_item').send({ sku: 'a', name: 'a', label: 'a', price: 1, quantity: 1 })
    const { body, status } = await request(app).get('/queues')
    expect(status).toBe(200)
    expect(body.queues).toHaveLength(contracts.length)
    const none = { consumers: 0, deadLetters: 0 }
    expect(body.queues).toContainEqual({ queue: 'create_item', waiting: 1, ...none, accepted: 1 })
    expect(body.queues).toContainEqual({ queue: 'stock_management', waiting: 0, ...none, accepted: 0 })
    // Only commands have a number of accepted messages.
    expect(body.queues).toContainEqual({ queue: 'movements', waiting: 0, ...none })
  })

  it('counts the commands that this process has accepted, and none that it rejected', async () => {
    const { app } = queuesUnderTest()
    const other = queuesUnderTest()
    const item = { sku: 'a', name: 'a', label: 'a', price: 1, quantity: 1 }
    // 202: accepted, but the outcome is not known yet.
    expect((await request(app).post('/create_item').set('Prefer', 'wait=1').send(item)).status).toBe(202)
    await request(app).post('/create_item').send(item)
    expect(
      (
        await request(app)
          .post('/create_item')
          .send({ ...item, price: 'x' })
      ).status,
    ).toBe(400)
    await request(app).get('/healthcheck')
    const { body } = await request(app).get('/queues')
    const accepted = body.queues.map(({ queue, accepted }: Record<string, unknown>) => [queue, accepted])
    expect(accepted).toContainEqual(['create_item', 2])
    expect(accepted).toContainEqual(['healthcheck', 1])
    expect(Date.now() - Date.parse(body.measuredAt)).toBeLessThan(60_000)
    expect(body.producer).not.toBe((await request(other.app).get('/queues')).body.producer)
  })

  it.each([new NotAccepted('blocked', 'the broker blocks publishing'), new OutcomeUnknown('no confirm')])(
    'does not count a command as accepted after %s',
    async (error) => {
      const { app } = queuesUnderTest(failing(error))
      for (const prefer of ['', 'wait=1'])
        expect((await request(app).post('/stock_management').set('Prefer', prefer).send({ sku: 'a' })).status).toBe(503)
      expect((await request(app).get('/queues')).body.queues).toContainEqual(
        expect.objectContaining({ queue: 'stock_management', accepted: 0 }),
      )
    },
  )

  it('asks the broker once for concurrent callers', async () => {
    const { app, asked } = queuesUnderTest()
    await Promise.all(Array.from({ length: 8 }, () => request(app).get('/queues')))
    expect(asked()).toBe(1)
  })

  it.each([
    ['is disconnected', { notReady: () => 'away' }],
    ['does not respond', { queueStates: () => Promise.reject(new Error('lost')) }],
  ])('is 503 when the broker %s, without internal details', async (_, over) => {
    const { app } = queuesUnderTest(over)
    const { status, body } = await request(app).get('/queues')
    expect([status, body.reason]).toEqual([503, 'disconnected'])
    expect(JSON.stringify(body)).not.toMatch(/away|lost/)
  })
})
