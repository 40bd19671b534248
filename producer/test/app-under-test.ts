// The producer's application on an in-memory broker, with access to its logs and metrics.
import { createHash } from 'node:crypto'
import { type Broker, consumerEnvironment, contracts, type Delivery, type Outcome, type Service } from '@ims/messaging'
import { InMemoryRabbitmq, quietService } from '@ims/messaging/testing'
import request from 'supertest'
import { httpEnvironment } from '../src/config.ts'
import { type Limits, limitsOf } from '../src/http/limits.ts'
import { type App, createApp } from '../src/producer.ts'

export const consumerConfig = consumerEnvironment.parse({})
export const apple = { sku: 'IB123456789', name: 'Tropicana Apple Juice', label: 'juice', price: 25, quantity: 50 }

interface Options {
  /** Environment variables that differ from their defaults. */
  readonly environment?: Record<string, string>
  /** Parts of the broker to replace. */
  readonly broker?: Partial<Pick<Broker, 'publisher' | 'requester'>>
  readonly stopping?: AbortSignal
  /** Limits that differ from those derived from memory. */
  readonly limits?: Partial<Limits>
  /** If false, every request goes through Express's router, none through the short cut. */
  readonly isShort?: boolean
}

export function appUnderTest({
  environment = {},
  broker = {},
  stopping = quietService.stopping,
  limits,
  isShort = true,
}: Options = {}) {
  const rabbitmq = new InMemoryRabbitmq()
  const own = rabbitmq.open({ publishes: contracts })
  const lines: { level: string; fields: object; message: string }[] = []
  const measured: { metric: string; value: number; labels: Record<string, string> }[] = []
  const counted: typeof measured = []
  const to = (level: string) => (fields: object, message: string) => void lines.push({ level, fields, message })
  const service: Service = {
    name: 'producer',
    log: { debug: to('debug'), info: to('info'), warn: to('warn'), error: to('error') },
    meter: {
      count: (metric, labels = {}, by = 1) => void counted.push({ metric, value: by, labels }),
      observe: (metric, value, labels = {}) => void measured.push({ metric, value, labels }),
    },
    stopping,
  }
  const config = httpEnvironment.parse(environment)
  const app = createApp({
    broker: { publisher: own.publisher, requester: own.requester, ...broker },
    config,
    service,
    limits: { ...limitsOf(config), ...limits },
    isShort,
  })
  /** The messages on a queue, parsed. */
  const sent = (queue: string): unknown[] =>
    rabbitmq.messages(queue).map(({ content }) => JSON.parse(content.toString()))
  return { app, config, service, rabbitmq, sent, lines, measured, counted }
}

export const ADMIN_KEY = 'the key of an admin'

/** Configures one API key with scope admin. */
export const adminEnvironment = { API_KEYS: `admin admin ${createHash('sha256').update(ADMIN_KEY).digest('hex')}` }

/** A client that presents `ADMIN_KEY`. */
export const asAdmin = (app: App) => request.agent(app).set('X-API-Key', ADMIN_KEY)

/** A publisher and a requester that always fail with `error`. */
export function failing(error: Error): Pick<Broker, 'publisher' | 'requester'> {
  const fail = () => Promise.reject(error)
  return { publisher: { publish: fail }, requester: { request: fail, command: fail } }
}

/** A handler that returns the same outcome for every message, and records the bodies. */
export function always<Result>(outcome: Outcome<Result>, seen: unknown[] = []) {
  return async (deliveries: readonly Delivery[]) => {
    seen.push(...deliveries.map(({ body }) => body))
    return deliveries.map(() => outcome)
  }
}

export const JSON_TYPE = 'application/json'

/** Posts a raw body to a new application. */
export function post(body: Buffer | string, type = JSON_TYPE, path = '/create_item') {
  const under = appUnderTest()
  const response = request(under.app)
    .post(path)
    .set('Content-Type', type)
    .serialize((each) => each)
    .send(body)
  return { ...under, response }
}
