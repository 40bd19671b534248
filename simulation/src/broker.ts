// A simulated broker in virtual time, at the level of AMQP methods. Queues, deliveries, confirms and returns work as in RabbitMQ.
import { type Fields, type Frame, type Link, methods } from './wire.ts'
import type { World } from './world.ts'

export interface BrokerMessage {
  readonly position: number
  readonly content: Buffer
  readonly properties: Fields
  readonly expiresAtMs: number
  redelivered: boolean
  /** The number of requeues that count toward the delivery limit. */
  returns: number
}

interface Subscriber {
  readonly tag: string
  readonly noAck: boolean
  readonly prefetch: number
  readonly link: Link
  readonly channel: OpenChannel
  inFlight: number
}

interface Unacked {
  readonly queue: Queue
  readonly message: BrokerMessage
  /** Undefined when the message was fetched with basic.get. */
  readonly subscriber: Subscriber | undefined
  readonly sinceMs: number
}

class OpenChannel {
  readonly id: number
  confirms = false
  published = 0
  deliveryTag = 0
  prefetch = 0
  replyToken: string | undefined
  replyTag = ''
  /** Messages published in the open transaction. Undefined on a channel without transactions. */
  transaction: Frame[] | undefined
  readonly unacked = new Map<number, Unacked>()
  readonly subscribers = new Map<string, { queue: Queue; subscriber: Subscriber }>()
  constructor(id: number) {
    this.id = id
  }
}

export interface Queue {
  readonly name: string
  readonly ready: BrokerMessage[]
  readonly subscribers: Subscriber[]
  /** The connection that owns an exclusive queue. The queue is deleted with it. */
  owner: Link | undefined
  isGone: boolean
}

const REPLY_TO = 'amq.rabbitmq.reply-to'
const NOT_FOUND = 404
const RESOURCE_LOCKED = 405
const PRECONDITION_FAILED = 406
/** A reply address contains RabbitMQ's node and channel process. messaging checks whether the node exists. */
const NODE = Buffer.from([131, 88, 118, 0, 13, ...Buffer.from('the only node')])
export const DELIVERY_LIMIT = 20
const CONSUMER_TIMEOUT_MS = 60_000

export interface BrokerTraits {
  /** As with quorum queues: a delivery limit applies, and the header `x-delivery-count` is set. */
  readonly quorum: boolean
  /** As in RabbitMQ before 4.3: a nack counts toward the delivery limit. */
  readonly countsNacks: boolean
}

export class SimulatedBroker {
  readonly queues = new Map<string, Queue>()
  readonly links = new Map<Link, Map<number, OpenChannel>>()
  readonly frameMax = 131_072
  readonly heartbeatMs = 2_000
  /** When the confirm of a message arrived at the socket of its publisher, by queue and label. */
  readonly confirmArrivedMs = new Map<string, number>()
  /** When a reply arrived at the socket of the requester, by correlation id. */
  readonly repliesArrivedMs = new Map<string, number>()
  /** The labels of the messages that were deleted together with their queue. */
  readonly destroyed = new Set<string>()
  readonly overdue: string[] = []
  /** The order of the latest delivery of each message. */
  readonly arrivals = new Map<string, number>()
  readonly traits: BrokerTraits
  readonly #world: World
  #positions = 0
  #tokens = 0
  alarm = false
  isDown = false
  /** Closes each connection as soon as it is open. */
  drains = false
  confirmDelayMs = 0
  /** The number of publishes to nack. About half of them are still stored. */
  nacks = 0
  /** The delay of replies to methods such as channel.open. */
  slowMs = 0

  constructor(world: World, traits: BrokerTraits) {
    this.#world = world
    this.traits = traits
  }

  delayMs(): number {
    const random = this.#world.random()
    return random < 0.9 ? 1 + Math.floor(random * 10) : Math.floor(random * 60)
  }

  accepts(_: Link): string | undefined {
    return this.isDown ? 'connect ECONNREFUSED' : undefined
  }

  opened(link: Link): void {
    this.links.set(link, new Map())
    if (this.drains) link.close(320, 'CONNECTION_FORCED - Node was put into maintenance mode')
  }

  /** Forgets a connection that is closed or lost. Requeues its unacknowledged messages, and deletes its exclusive queues. */
  lost(link: Link): void {
    const channels = this.links.get(link)
    this.links.delete(link)
    for (const channel of channels?.values() ?? []) this.#channelGone(channel)
    for (const { name, owner } of this.queues.values()) if (owner === link) this.queues.delete(name)
  }

  queue(name: string): Queue {
    const queue = this.queues.get(name) ?? { name, ready: [], subscribers: [], owner: undefined, isGone: false }
    this.queues.set(name, queue)
    return queue
  }

  /** Puts a message on a queue directly, without a connection. */
  put(name: string, properties: Fields, content: Buffer): void {
    this.#route(name, properties, content)
  }

  deleteQueue(name: string): void {
    const queue = this.queues.get(name)
    if (queue === undefined) return
    this.queues.delete(name)
    queue.isGone = true
    for (const { content } of queue.ready) this.destroyed.add(labelOf(content))
    for (const { link, channel, tag } of queue.subscribers) {
      channel.subscribers.delete(tag)
      link.down({ channel: channel.id, id: methods.BasicCancel, fields: { consumerTag: tag } })
    }
  }

  /** The messages of the queue `name` that wait for an ack from `process`, or from any process if `process` is undefined. */
  inFlight(name: string, process?: unknown): Unacked[] {
    return [...this.links].flatMap(([link, channels]) =>
      process === undefined || link.process === process
        ? [...channels.values()].flatMap(({ unacked }) =>
            [...unacked.values()].filter(({ queue }) => queue.name === name),
          )
        : [],
    )
  }

  /** The messages that are ready on the queue `name`, and those of `inFlight`. */
  on(name: string, process?: unknown): BrokerMessage[] {
    return [...this.queue(name).ready, ...this.inFlight(name, process).map(({ message }) => message)]
  }

  setAlarm(isOn: boolean): void {
    this.alarm = isOn
    for (const link of [...this.links.keys()]) {
      if (isOn) link.down({ channel: 0, id: methods.ConnectionBlocked, fields: { reason: 'low on memory' } })
      else {
        link.down({ channel: 0, id: methods.ConnectionUnblocked, fields: {} })
        for (const frame of link.unread.splice(0)) this.#handle(link, frame)
        link.onRead()
      }
    }
  }

  whenRead(link: Link, read: () => void): void {
    if (link.unread.length === 0) read()
    else link.onRead = read
  }

  received(link: Link, frame: Frame): void {
    if (link.unread.length > 0 || (this.alarm && frame.id === methods.BasicPublish)) link.unread.push(frame)
    else this.#handle(link, frame)
  }

  #handle(link: Link, frame: Frame): void {
    const channels = this.links.get(link)
    if (channels === undefined) return
    const { id, fields = {} } = frame
    if (id === methods.ConnectionClose) {
      link.down({ channel: 0, id: methods.ConnectionCloseOk, fields: {} })
      return
    }
    if (frame.channel === 0) return
    const answer = (method: string, ok: Frame['fields'] = {}) => {
      const open = channels.get(frame.channel)
      const send = () => {
        if (channels.get(frame.channel) === open) link.down({ channel: frame.channel, id: methods[method], fields: ok })
      }
      if (this.slowMs > 0) this.#world.at(this.#world.nowMs + this.slowMs, send)
      else send()
    }
    if (id === methods.ChannelOpen) {
      channels.set(frame.channel, new OpenChannel(frame.channel))
      return answer('ChannelOpenOk')
    }
    const channel = channels.get(frame.channel)
    if (channel === undefined) {
      // RabbitMQ also replies to channel.close if it has already closed the channel (rabbit_reader.erl).
      if (id === methods.ChannelClose) link.down({ channel: frame.channel, id: methods.ChannelCloseOk, fields: {} })
      return
    }
    switch (id) {
      case methods.ChannelClose:
        channels.delete(frame.channel)
        this.#channelGone(channel)
        return link.down({ channel: frame.channel, id: methods.ChannelCloseOk, fields: {} })
      case methods.ConfirmSelect:
        channel.confirms = true
        return answer('ConfirmSelectOk')
      case methods.BasicQos:
        channel.prefetch = fields.prefetchCount
        return answer('BasicQosOk')
      case methods.QueueDeclare: {
        const name: string = fields.queue
        const isReply = name.startsWith(`${REPLY_TO}.`)
        if (isReply ? this.#requesterAt(name) === undefined : fields.passive && !this.queues.has(name))
          return this.#fail(link, channel, NOT_FOUND, `NOT_FOUND - no queue '${name}'`)
        if (isReply) return answer('QueueDeclareOk', { queue: name, messageCount: 0, consumerCount: 1 })
        const queue = this.queue(name)
        const { ready, subscribers } = queue
        if (fields.exclusive) queue.owner ??= link
        if (queue.owner !== undefined && queue.owner !== link)
          return this.#fail(link, channel, RESOURCE_LOCKED, `RESOURCE_LOCKED - exclusive queue '${name}'`)
        return answer('QueueDeclareOk', { queue: name, messageCount: ready.length, consumerCount: subscribers.length })
      }
      case methods.BasicConsume:
        return this.#consume(link, channel, fields, answer)
      case methods.BasicCancel: {
        this.#unsubscribe(channel, fields.consumerTag)
        return answer('BasicCancelOk', { consumerTag: fields.consumerTag })
      }
      case methods.BasicPublish:
        return channel.transaction ? void channel.transaction.push(frame) : this.#publish(link, channel, frame)
      case methods.TxSelect:
        channel.transaction = []
        return answer('TxSelectOk')
      case methods.TxCommit:
        for (const published of channel.transaction?.splice(0) ?? []) this.#publish(link, channel, published)
        return answer('TxCommitOk')
      case methods.BasicGet:
        return this.#get(link, channel, fields.queue)
      case methods.BasicAck:
        return this.#settle(channel, fields, () => {})
      case methods.BasicNack:
        return this.#settle(channel, fields, (each) => this.#requeue(each, this.traits.countsNacks))
    }
  }

  #consume(
    link: Link,
    channel: OpenChannel,
    { queue: name, consumerTag, noAck }: Fields,
    answer: (method: string, ok: Frame['fields']) => void,
  ): void {
    if (name === REPLY_TO) {
      this.#tokens += 1
      const process = Buffer.alloc(12)
      process.writeUInt32BE(this.#tokens)
      channel.replyToken = `${Buffer.concat([NODE, process]).toString('base64')}.${this.#tokens}`
      channel.replyTag = consumerTag || `reply${this.#tokens}`
      return answer('BasicConsumeOk', { consumerTag: channel.replyTag })
    }
    const queue = this.queues.get(name)
    if (queue === undefined) return this.#fail(link, channel, NOT_FOUND, `NOT_FOUND - no queue '${name}'`)
    const tag = consumerTag || `tag${this.#tokens++}`
    const subscriber = { tag, noAck, prefetch: channel.prefetch, link, channel, inFlight: 0 }
    channel.subscribers.set(tag, { queue, subscriber })
    link.down({ channel: channel.id, id: methods.BasicConsumeOk, fields: { consumerTag: tag } })
    queue.subscribers.push(subscriber)
    this.#deliver(queue)
  }

  #get(link: Link, channel: OpenChannel, name: string): void {
    const queue = this.queues.get(name)
    if (queue === undefined) return this.#fail(link, channel, NOT_FOUND, `NOT_FOUND - no queue '${name}'`)
    const message = queue.ready.shift()
    if (message === undefined) return link.down({ channel: channel.id, id: methods.BasicGetEmpty, fields: {} })
    channel.deliveryTag += 1
    const { deliveryTag } = channel
    channel.unacked.set(deliveryTag, { queue, message, subscriber: undefined, sinceMs: this.#world.nowMs })
    const { redelivered, properties, content } = message
    const fields = { deliveryTag, redelivered, exchange: '', routingKey: name, messageCount: queue.ready.length }
    link.down(
      { channel: channel.id, id: methods.BasicGetOk, fields },
      ...contentFrames(channel.id, properties, content),
    )
  }

  #unsubscribe(channel: OpenChannel, tag: string): void {
    const found = channel.subscribers.get(tag)
    if (found === undefined) return
    channel.subscribers.delete(tag)
    found.queue.subscribers.splice(found.queue.subscribers.indexOf(found.subscriber), 1)
  }

  #publish(
    link: Link,
    channel: OpenChannel,
    { fields = {}, properties: given = {}, content = Buffer.alloc(0) }: Frame,
  ): void {
    // The reply address is set before routing, because a returned message contains it too.
    const properties = given.replyTo === REPLY_TO ? { ...given, replyTo: `${REPLY_TO}.${channel.replyToken}` } : given
    channel.published += 1
    const deliveryTag = channel.published
    const confirm = (method: string) => {
      if (!channel.confirms) return
      const send = () => {
        link.downThen([{ channel: channel.id, id: methods[method], fields: { deliveryTag, multiple: false } }], () => {
          if (method === 'BasicAck')
            this.confirmArrivedMs.set(`${fields.routingKey} ${labelOf(content)}`, this.#world.nowMs)
        })
      }
      this.#world.at(this.#world.nowMs + this.confirmDelayMs + this.delayMs(), send)
    }
    const name: string = fields.routingKey
    if (this.nacks > 0 && channel.confirms) {
      this.nacks -= 1
      if (this.#world.random() < 0.5) this.#route(name, properties, content)
      return confirm('BasicNack')
    }
    if (!this.#route(name, properties, content) && fields.mandatory)
      link.down(
        {
          channel: channel.id,
          id: methods.BasicReturn,
          fields: { routingKey: name, exchange: '', replyCode: 312, replyText: 'NO_ROUTE' },
        },
        ...contentFrames(channel.id, properties, content),
      )
    confirm('BasicAck')
  }

  /** Puts a message on its queue, or sends it to a requester. Returns false when the queue or the requester does not exist. */
  #route(name: string, properties: Fields, content: Buffer): boolean {
    if (name.startsWith(`${REPLY_TO}.`)) {
      const requester = this.#requesterAt(name)
      if (requester === undefined) return false
      const { link, id, replyTag } = requester
      const fields = { consumerTag: replyTag, deliveryTag: 1, redelivered: false, exchange: '', routingKey: name }
      const frames = [{ channel: id, id: methods.BasicDeliver, fields }, ...contentFrames(id, properties, content)]
      link.downThen(frames, () => this.repliesArrivedMs.set(properties.correlationId, this.#world.nowMs))
      return true
    }
    const queue = this.queues.get(name)
    if (queue === undefined) return false
    this.#positions += 1
    const ttl = properties.expiration
    queue.ready.push({
      position: this.#positions,
      content,
      properties,
      expiresAtMs: ttl === undefined ? Number.POSITIVE_INFINITY : this.#world.nowMs + Number(ttl),
      redelivered: false,
      returns: 0,
    })
    this.#deliver(queue)
    return true
  }

  /** The channel that consumes from a reply address. */
  #requesterAt(address: string): { link: Link; id: number; replyTag: string } | undefined {
    for (const [link, channels] of this.links)
      for (const { id, replyToken, replyTag } of channels.values())
        if (address === `${REPLY_TO}.${replyToken}`) return { link, id, replyTag }
    return undefined
  }

  #deliver(queue: Queue): void {
    while (queue.ready.length > 0) {
      const [message] = queue.ready
      const index = queue.subscribers.findIndex(
        ({ inFlight, prefetch, noAck }) => noAck || prefetch === 0 || inFlight < prefetch,
      )
      const subscriber = queue.subscribers[index]
      if (message === undefined || subscriber === undefined) return
      queue.ready.shift()
      if (message.expiresAtMs <= this.#world.nowMs) continue
      // Subscribers take turns (round robin).
      queue.subscribers.push(...queue.subscribers.splice(index, 1))
      const { link, channel, tag } = subscriber
      channel.deliveryTag += 1
      this.arrivals.set(labelOf(message.content), this.arrivals.size + this.#world.events)
      const deliveryTag = channel.deliveryTag
      if (!subscriber.noAck) {
        subscriber.inFlight += 1
        const unacked = { queue, message, subscriber, sinceMs: this.#world.nowMs }
        channel.unacked.set(deliveryTag, unacked)
        this.#world.at(this.#world.nowMs + CONSUMER_TIMEOUT_MS, () => {
          if (channel.unacked.get(deliveryTag) !== unacked || link.isOver) return
          this.overdue.push(`${link.process.name} kept ${labelOf(message.content)} for ${CONSUMER_TIMEOUT_MS} ms`)
          this.#fail(link, channel, PRECONDITION_FAILED, 'PRECONDITION_FAILED - delivery acknowledgement timed out')
        })
      }
      const headers =
        message.returns > 0 && this.traits.quorum
          ? { ...message.properties.headers, 'x-delivery-count': message.returns }
          : message.properties.headers
      link.down(
        {
          channel: channel.id,
          id: methods.BasicDeliver,
          fields: {
            consumerTag: tag,
            deliveryTag,
            redelivered: message.redelivered,
            exchange: '',
            routingKey: queue.name,
          },
        },
        ...contentFrames(channel.id, { ...message.properties, headers }, message.content),
      )
    }
  }

  #settle(channel: OpenChannel, { deliveryTag, multiple }: Fields, done: (each: Unacked) => void): void {
    const touched = new Set<Queue>()
    for (const [tag, each] of [...channel.unacked]) {
      if (multiple ? tag > deliveryTag : tag !== deliveryTag) continue
      channel.unacked.delete(tag)
      if (each.subscriber) each.subscriber.inFlight -= 1
      touched.add(each.queue)
      done(each)
    }
    for (const queue of touched) this.#deliver(queue)
  }

  #requeue({ queue, message }: Unacked, isCounted: boolean): void {
    if (queue.isGone) {
      this.destroyed.add(labelOf(message.content))
      return
    }
    message.redelivered = true
    if (isCounted) message.returns += 1
    if (this.traits.quorum && message.returns > DELIVERY_LIMIT) {
      const letters = this.queue(`${queue.name}.dead-letter`)
      const headers = { ...message.properties.headers, 'x-first-death-reason': 'delivery_limit' }
      letters.ready.push({ ...message, properties: { ...message.properties, headers } })
      return this.#deliver(letters)
    }
    const later = queue.ready.findIndex(({ position }) => position > message.position)
    queue.ready.splice(later === -1 ? queue.ready.length : later, 0, message)
  }

  #channelGone(channel: OpenChannel): void {
    for (const tag of [...channel.subscribers.keys()]) this.#unsubscribe(channel, tag)
    const touched = new Set<Queue>()
    for (const each of channel.unacked.values()) {
      this.#requeue(each, true)
      touched.add(each.queue)
    }
    channel.unacked.clear()
    channel.replyToken = undefined
    for (const queue of touched) this.#deliver(queue)
  }

  #fail(link: Link, channel: OpenChannel, replyCode: number, replyText: string): void {
    this.links.get(link)?.delete(channel.id)
    this.#channelGone(channel)
    link.down({
      channel: channel.id,
      id: methods.ChannelClose,
      fields: { replyCode, replyText, classId: 50, methodId: 10 },
    })
  }
}

function contentFrames(channel: number, properties: Fields, content: Buffer): Frame[] {
  const fields = { ...properties, headers: { ...properties.headers } }
  const header = { channel, id: methods.BasicProperties, fields, size: content.length }
  return content.length === 0 ? [header] : [header, { channel, content }]
}

/** The label that identifies a message in a run: the name of its item. */
export function labelOf(content: Buffer): string {
  return /"name":"([^"]*)"/.exec(content.toString())?.[1] ?? ''
}
