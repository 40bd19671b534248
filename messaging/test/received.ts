// A message as amqplib delivers it, for tests without a broker.
import type { Message } from 'amqplib'

const unset = {
  contentType: undefined,
  contentEncoding: undefined,
  headers: undefined,
  deliveryMode: undefined,
  priority: undefined,
  correlationId: undefined,
  replyTo: undefined,
  expiration: undefined,
  messageId: undefined,
  timestamp: undefined,
  type: undefined,
  userId: undefined,
  appId: undefined,
  clusterId: undefined,
}

/** A message of `create_item` with these properties and no others. */
export const received = (content: string | Buffer, properties: object = {}, redelivered = false): Message => ({
  content: Buffer.from(content),
  fields: { deliveryTag: 1, redelivered, exchange: '', routingKey: 'create_item' },
  properties: { ...unset, ...properties },
})
