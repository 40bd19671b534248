// The doctor's checks on the broker over AMQP, as one user: login, rights, queues and alarms. They change no message.
import { TLSSocket } from 'node:tls'
import { type Finding, fault, fine, unchecked } from '@ims/runtime/finding'
import { z } from 'zod'
import type { RabbitmqConfig } from './config.ts'
import { type Connection, closeConnection, openFirstConnection } from './connection/connection.ts'
import { socketOf } from './connection/inside-amqplib.ts'
import { channelError, onThrowAwayChannel } from './connection/topology.ts'
import { deadLetterQueue } from './contract.ts'
import { asError } from './errors.ts'

const ACCESS_REFUSED = 403
const NOT_FOUND = 404
const PRECONDITION_FAILED = 406
const DAY_MS = 86_400_000
/** A certificate that expires in fewer days must be renewed. */
const CERTIFICATE_DAYS_MIN = 14
/** No queue has this name, so the broker drops the message that a check publishes. */
const NO_QUEUE = 'ims.doctor.no-such-queue'

export interface BrokerQuestion {
  /** Queues that the user must be able to consume. */
  readonly reads: readonly string[]
  /** Queues to examine. */
  readonly queues: readonly { readonly name: string; readonly hasDeadLetters: boolean }[]
  /** Whether the user may declare queues. The users of the services may not. */
  readonly declares: boolean
}

export interface BrokerAnswer {
  readonly findings: readonly Finding[]
  /** The number of consumers of each examined queue that exists. */
  readonly consumers: ReadonlyMap<string, number>
}

const serverProperties = z.object({ product: z.string(), version: z.string() })

/** Examines the broker as the user of `config`. Never rejects. */
export async function examineBroker(config: RabbitmqConfig, question: BrokerQuestion): Promise<BrokerAnswer> {
  const user = config.username
  const consumers = new Map<string, number>()
  const silent = { debug() {}, info() {}, warn() {}, error() {} }
  const service = {
    name: 'doctor',
    log: silent,
    meter: { count() {}, observe() {} },
    stopping: new AbortController().signal,
  }
  let connection: Connection
  try {
    connection = await openFirstConnection(config, `doctor as ${user}`, service, () => {})
  } catch (error) {
    return { findings: [noLogin(user, asError(error).message)], consumers }
  }
  try {
    const findings = [fine(`RabbitMQ login of ${user}`, `connected to ${connection.address}`), ...greeting(connection)]
    for (const queue of question.reads) findings.push(await rightToConsume(connection, config, queue))
    for (const queue of question.queues)
      findings.push(...(await examineQueue(connection, config, queue, question.declares, consumers)))
    findings.push(...(await rightToPublish(connection, config)))
    return { findings, consumers }
  } finally {
    await closeConnection(connection)
  }
}

function noLogin(user: string, why: string): Finding {
  const todo = /ACCESS.REFUSED/.test(why)
    ? `Import the definitions again: they contain the current password of ${user}. Then check its permissions on the vhost.`
    : 'Check that RabbitMQ runs, and check RABBITMQ_HOST, RABBITMQ_PORT, RABBITMQ_VHOST and RABBITMQ_TLS.'
  return fault(`RabbitMQ login of ${user}`, why, todo)
}

function greeting({ model, clock }: Connection): Finding[] {
  const { data } = serverProperties.safeParse(model.connection.serverProperties)
  const version =
    data === undefined
      ? unchecked('RabbitMQ version', 'the broker does not report its version')
      : data.product === 'RabbitMQ' && Number(data.version.split('.')[0]) >= 4
        ? fine('RabbitMQ version', data.version)
        : fine('RabbitMQ version', `${data.version}: queues are quorum queues by default only from 4.0 on`)
  const socket = socketOf(model)
  if (!(socket instanceof TLSSocket)) return [version, fine('RabbitMQ TLS', 'off: use this only in a private network')]
  const days = Math.floor((Date.parse(socket.getPeerCertificate().valid_to) - clock.date().getTime()) / DAY_MS)
  const found = `the certificate is valid and expires in ${days} days`
  const isDue = days < CERTIFICATE_DAYS_MIN
  return [version, isDue ? fault('RabbitMQ TLS', found, 'Renew the certificate.') : fine('RabbitMQ TLS', found)]
}

/**
 * Subscribes with an invalid argument. The broker rejects that, so no message is delivered. The broker checks the
 * permission first, so its error shows whether the permission was granted.
 */
async function rightToConsume(connection: Connection, config: RabbitmqConfig, queue: string): Promise<Finding> {
  const check = `right of ${config.username} to consume ${queue}`
  const why = await failureOf(connection, config, (channel) =>
    channel.consume(queue, () => {}, { arguments: { 'x-priority': 'none' } }),
  )
  if (why?.code === PRECONDITION_FAILED) return fine(check, 'granted')
  if (why?.code === ACCESS_REFUSED) return fault(check, why.message, 'Import the definitions of the suite again.')
  return unchecked(check, why?.message ?? 'the broker accepted a subscription that it should reject')
}

async function examineQueue(
  connection: Connection,
  config: RabbitmqConfig,
  { name, hasDeadLetters }: BrokerQuestion['queues'][number],
  declares: boolean,
  consumers: Map<string, number>,
): Promise<Finding[]> {
  const dead = deadLetterQueue(name)
  const findings: Finding[] = []
  for (const queue of hasDeadLetters ? [name, dead] : [name]) {
    const check = `queue ${queue}`
    let counted = { consumerCount: 0, messageCount: 0 }
    const why = await failureOf(connection, config, async (channel) => {
      counted = await channel.checkQueue(queue)
    })
    if (why?.code === NOT_FOUND) {
      findings.push(fault(check, 'does not exist', 'Import the definitions, or start the services: they declare it.'))
      continue
    }
    if (why !== undefined) {
      findings.push(unchecked(check, why.message))
      continue
    }
    findings.push(await declaredArguments(connection, config, queue, declares))
    if (queue === name) {
      consumers.set(name, counted.consumerCount)
      findings.push(
        counted.consumerCount > 0
          ? fine(`consumers of ${name}`, String(counted.consumerCount))
          : fault(`consumers of ${name}`, `none, ${counted.messageCount} messages wait`, 'Start its consumer.'),
      )
    } else if (counted.messageCount > 0) {
      const todo = `Look at them: npm run dead-letters -- list ${name}`
      findings.push(fault(`dead letters of ${name}`, String(counted.messageCount), todo))
    } else findings.push(fine(`dead letters of ${name}`, 'none'))
  }
  return findings
}

/** Declares an existing queue in the same way as the services. The broker changes nothing, and rejects a declaration that differs. */
async function declaredArguments(
  connection: Connection,
  config: RabbitmqConfig,
  queue: string,
  declares: boolean,
): Promise<Finding> {
  const check = `arguments of ${queue}`
  if (!declares)
    return unchecked(check, `${config.username} has no right to declare queues, and the management API was not asked`)
  const why = await failureOf(connection, config, (channel) => channel.assertQueue(queue, { durable: true }))
  if (why === undefined) return fine(check, 'durable, without arguments that differ from ours')
  if (why.code !== PRECONDITION_FAILED) return unchecked(check, why.message)
  const todo = 'Move its messages away, delete the queue, and import the definitions. Set arguments by policy only.'
  return fault(check, why.message, todo)
}

/** Checks the right to publish, and whether there is an alarm: during one, the broker does not read from a connection that publishes. */
async function rightToPublish(connection: Connection, config: RabbitmqConfig): Promise<Finding[]> {
  const right = `right of ${config.username} to publish`
  const alarm = 'RabbitMQ alarms'
  const blocked = new Promise<Failure>((resolve) =>
    connection.model.once('blocked', (reason: string) => resolve({ code: undefined, message: reason })),
  )
  const published = failureOf(connection, config, async (channel) => {
    channel.publish('', NO_QUEUE, Buffer.alloc(0))
    // The broker processes a channel in order, so its response to basic.qos proves that it has processed the publish. That
    // method needs no permission. Checking an exchange needs the configure permission since RabbitMQ 4.3.
    await channel.prefetch(1)
  })
  const why = await Promise.race([published, blocked])
  if (why === undefined) return [fine(right, 'granted'), fine(alarm, 'none')]
  if (connection.blocked !== undefined) {
    const todo = 'Free disk space or memory of the broker, or raise its limit. Until then it accepts no message.'
    return [unchecked(right, 'an alarm blocks publishing'), fault(alarm, connection.blocked, todo)]
  }
  const refused = why.code === ACCESS_REFUSED
  return [
    refused ? fault(right, why.message, 'Import the definitions of the suite again.') : unchecked(right, why.message),
    unchecked(alarm, 'nothing could be published'),
  ]
}

interface Failure {
  readonly code: number | undefined
  readonly message: string
}

/** Runs `work` on its own channel. Resolves with its failure, or undefined. */
async function failureOf(
  connection: Connection,
  config: RabbitmqConfig,
  work: Parameters<typeof onThrowAwayChannel<unknown>>[2],
): Promise<Failure | undefined> {
  try {
    await onThrowAwayChannel(connection, config.connectTimeoutMs, work)
    return undefined
  } catch (error) {
    return channelError.safeParse(error).data ?? { code: undefined, message: asError(error).message }
  }
}
