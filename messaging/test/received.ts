// A message as amqplib delivers it, for tests without a broker.
import type { Message } from 'amqplib'
import { noProperties } from '../src/testing.ts'

/** A message of `create_item` with these properties and no others. */
export const received = (content: string | Buffer, properties: object = {}, redelivered = false): Message => ({
  content: Buffer.from(content),
  fields: { deliveryTag: 1, redelivered, exchange: '', routingKey: 'create_item' },
  properties: { ...noProperties, ...properties },
})
