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
      .describe('AMQP port of the broker, unless RABBITMQ_HOST gives one; usually 5671 with TLS'),
    RABBITMQ_USERNAME: z.string().min(1).default('guest').describe('user name'),
    RABBITMQ_PASSWORD: z.string().min(1).default('guest').describe('password'),
    RABBITMQ_VHOST: z.string().min(1).default('/').describe('virtual host'),
    RABBITMQ_TOPOLOGY: z
      .enum(['declare', 'check', 'none'])
      .default('declare')
      .describe('declare: queues are declared; check: they must exist; none: they are taken for granted'),
    RABBITMQ_HEARTBEAT_S: whole(1, 600).default(10).describe('AMQP heartbeat, in seconds'),
    RABBITMQ_CONNECT_TIMEOUT_MS: ms(10_000).describe('time for a connection, or a channel with its set-up, to open'),
    RABBITMQ_RECONNECT_MOST_MS: ms(10_000).describe('longest pause between two attempts to reconnect'),
    RABBITMQ_CONFIRM_TIMEOUT_MS: ms(5_000).describe('time for the broker to confirm a message'),
    RABBITMQ_UNCONFIRMED_MOST: whole(1, 100_000)
      .default(2_000)
      .describe('messages that may await their confirm at once'),
    RABBITMQ_UNCONFIRMED_MOST_BYTES: whole(1, 1_073_741_824)
      .optional()
      .describe(
        'bytes of messages that may await their confirm at once, and as much again of replies; as many as fit into the memory when not set, 32 MiB at most',
      ),
    RABBITMQ_STALL_TIMEOUT_MS: ms(60_000).describe(
      'a connection on which messages wait and the broker confirms none of them for this long is closed and opened anew',
    ),
    DEAD_LETTER_WINDOW_BYTES: whole(1, 1_073_741_824)
      .default(8_388_608)
      .describe(
        'bytes of dead letters that are held at once while a queue of them is read; one is held whatever its size',
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
    CONSUMER_BATCH_MOST: whole(1, 10_000).default(1_000).describe('messages that a handler is given at once'),
    CONSUMER_PREFETCH: whole(1, 65_535).default(2_000).describe('messages taken from the broker before they are acked'),
    CONSUMER_MESSAGE_MOST_BYTES: whole(1, 134_217_728)
      .default(1_048_576)
      .describe('a larger message is dead-lettered unread, in bytes'),
    CONSUMER_IN_HAND_MOST_BYTES: whole(1, 1_073_741_824)
      .optional()
      .describe(
        'bytes of messages in hand from which on no more are read until some are acked; as many as fit into the memory when not set, 32 MiB at most',
      ),
    CONSUMER_REPLIES_MOST_BYTES: whole(1, 1_073_741_824)
      .optional()
      .describe(
        'bytes of replies to queries that wait to be sent, or for their confirm; no further query is begun until there are fewer; as many as fit into the memory when not set, 32 MiB at most',
      ),
    CONSUMER_RETRY_MOST_MS: ms(10_000).describe('longest pause between two attempts while the database is away'),
    CONSUMER_HOLD_MOST_MS: ms(10_000).describe(
      'messages that cannot be applied for this long are given back, and the queue is left to other replicas until the database answers',
    ),
  })
  .transform((v) => ({
    batchMax: v.CONSUMER_BATCH_MOST,
    prefetch: v.CONSUMER_PREFETCH,
    messageMaxBytes: v.CONSUMER_MESSAGE_MOST_BYTES,
    inHandMaxBytes: v.CONSUMER_IN_HAND_MOST_BYTES,
    /** Queries that are handled at the same time. A service whose handler uses a connection pool sets this. */
    queriesMax: 3,
    repliesMaxBytes: v.CONSUMER_REPLIES_MOST_BYTES,
    retryMaxMs: v.CONSUMER_RETRY_MOST_MS,
    holdMaxMs: v.CONSUMER_HOLD_MOST_MS,
  }))
export type ConsumerConfig = z.output<typeof consumerEnvironment>
