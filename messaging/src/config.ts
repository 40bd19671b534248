// The environment variables of messaging: address of the broker, timeouts, and limits.
import { duplicateServers, serverList, serversOf } from '@ims/runtime/server-list'
import { tlsEnvironment } from '@ims/runtime/tls'
import { ms, whole } from '@ims/runtime/variables'
import { z } from 'zod'

const tls = tlsEnvironment('RABBITMQ')

export const rabbitmqEnvironment = z
  .object({
    RABBITMQ_HOST: serverList
      .default('127.0.0.1')
      .describe(
        'host name or address of the broker, or a list `host[:port],host[:port]`: a connection uses one server, and the next one when it fails',
      ),
    RABBITMQ_PORT: whole(1, 65_535)
      .default(5672)
      .describe('AMQP port of the broker, unless RABBITMQ_HOST contains one; usually 5671 with TLS'),
    RABBITMQ_USERNAME: z.string().min(1).default('guest').describe('user name'),
    RABBITMQ_PASSWORD: z.string().min(1).default('guest').describe('password'),
    RABBITMQ_VHOST: z.string().min(1).default('/').describe('virtual host'),
    RABBITMQ_TOPOLOGY: z
      .enum(['declare', 'check', 'none'])
      .default('declare')
      .describe('declare: declares the queues; check: requires that they exist; none: does neither'),
    RABBITMQ_HEARTBEAT_S: whole(1, 600).default(10).describe('AMQP heartbeat, in seconds'),
    RABBITMQ_CONNECT_TIMEOUT_MS: ms(10_000).describe('timeout for opening a connection, or a channel with its set-up'),
    RABBITMQ_RECONNECT_MOST_MS: ms(10_000).describe('longest pause between two attempts to reconnect'),
    RABBITMQ_CONFIRM_TIMEOUT_MS: ms(5_000).describe('timeout for the confirm of a message'),
    RABBITMQ_UNCONFIRMED_MOST: whole(1, 100_000).default(2_000).describe('maximum number of unconfirmed messages'),
    RABBITMQ_UNCONFIRMED_MOST_BYTES: whole(1, 1_073_741_824)
      .optional()
      .describe(
        'maximum size of all unconfirmed messages, in bytes, and separately of all unconfirmed replies; not set: derived from the memory, at most 32 MiB',
      ),
    RABBITMQ_STALL_TIMEOUT_MS: ms(60_000).describe(
      'a connection with unconfirmed messages is closed and opened again if the broker confirms none of them for this long',
    ),
    DEAD_LETTER_WINDOW_BYTES: whole(1, 1_073_741_824)
      .default(8_388_608)
      .describe(
        'maximum size of the dead letters in memory while their queue is read, in bytes; a single larger one is still read',
      ),
    ...tls.shape,
  })
  .superRefine(tls.check)
  .superRefine((v, context) => {
    for (const message of duplicateServers(v.RABBITMQ_HOST, v.RABBITMQ_PORT))
      context.addIssue({ code: 'custom', path: ['RABBITMQ_HOST'], message })
  })
  .transform((v) => ({
    servers: serversOf(v.RABBITMQ_HOST, v.RABBITMQ_PORT),
    username: v.RABBITMQ_USERNAME,
    password: v.RABBITMQ_PASSWORD,
    vhost: v.RABBITMQ_VHOST,
    topology: v.RABBITMQ_TOPOLOGY,
    heartbeatS: v.RABBITMQ_HEARTBEAT_S,
    connectTimeoutMs: v.RABBITMQ_CONNECT_TIMEOUT_MS,
    reconnectMaxMs: v.RABBITMQ_RECONNECT_MOST_MS,
    confirmTimeoutMs: v.RABBITMQ_CONFIRM_TIMEOUT_MS,
    unconfirmedMax: v.RABBITMQ_UNCONFIRMED_MOST,
    unconfirmedMaxBytes: v.RABBITMQ_UNCONFIRMED_MOST_BYTES,
    stallTimeoutMs: v.RABBITMQ_STALL_TIMEOUT_MS,
    deadLetterWindowBytes: v.DEAD_LETTER_WINDOW_BYTES,
    tls: tls.of(v),
  }))
export type RabbitmqConfig = z.output<typeof rabbitmqEnvironment>

export const consumerEnvironment = z
  .object({
    CONSUMER_BATCH_MOST: whole(1, 10_000)
      .default(1_000)
      .describe('maximum number of messages in one call of a handler'),
    CONSUMER_PREFETCH: whole(1, 65_535).default(2_000).describe('maximum number of unacknowledged messages'),
    CONSUMER_MESSAGE_MOST_BYTES: whole(1, 134_217_728)
      .default(1_048_576)
      .describe('maximum size of a message, in bytes; a larger one is dead-lettered without being parsed'),
    CONSUMER_IN_HAND_MOST_BYTES: whole(1, 1_073_741_824)
      .optional()
      .describe(
        'maximum size of all unacknowledged messages, in bytes; above it, no more are read until some are acknowledged; not set: derived from the memory, at most 32 MiB',
      ),
    CONSUMER_REPLIES_MOST_BYTES: whole(1, 1_073_741_824)
      .optional()
      .describe(
        'maximum size of all unconfirmed replies to queries, in bytes; from this size on, no further query is started; not set: derived from the memory, at most 32 MiB',
      ),
    CONSUMER_RETRY_MOST_MS: ms(10_000).describe('longest pause between two attempts while the database is down'),
    CONSUMER_HOLD_MOST_MS: ms(10_000).describe(
      'messages that cannot be applied for this long are requeued, and the consumer leaves the queue to other replicas until its database responds',
    ),
  })
  .transform((v) => ({
    batchMax: v.CONSUMER_BATCH_MOST,
    prefetch: v.CONSUMER_PREFETCH,
    messageMaxBytes: v.CONSUMER_MESSAGE_MOST_BYTES,
    inFlightMaxBytes: v.CONSUMER_IN_HAND_MOST_BYTES,
    /** Maximum number of queries that are handled at the same time. A service whose handler uses a connection pool sets this. */
    queriesMax: 3,
    repliesMaxBytes: v.CONSUMER_REPLIES_MOST_BYTES,
    retryMaxMs: v.CONSUMER_RETRY_MOST_MS,
    holdMaxMs: v.CONSUMER_HOLD_MOST_MS,
  }))
export type ConsumerConfig = z.output<typeof consumerEnvironment>
