// Examines the suite: every user of the one list on the broker and the database, each check as a user that has the right.
import { queues, type Service, services } from '@ims/accounts/suite'
import type { RabbitmqConfig } from '@ims/messaging'
import { examineBroker } from '@ims/messaging/doctor'
import type { MysqlConfig, RetentionConfig } from '@ims/repository'
import { examineDatabase } from '@ims/repository/doctor'
import { type Finding, unchecked } from '@ims/runtime/finding'
import { examineManagement } from './management.ts'

export interface Suite {
  readonly rabbitmq: RabbitmqConfig
  readonly mysql: MysqlConfig
  readonly retention: RetentionConfig
  /** The base URL of RabbitMQ's management API, where it exists. */
  readonly management: string | undefined
  /** Undefined when the password is not available here. */
  passwordOf(user: string, server: 'rabbitmq' | 'mysql'): string | undefined
}

/** Each process has its pool, and one more connection for checks. */
const CHECKING_CONNECTIONS = 1

const queueList = Object.entries(queues).map(([name, kind]) => ({ name, hasDeadLetters: kind === 'command' }))

/** Never rejects. */
export async function examineSuite(suite: Suite): Promise<Finding[]> {
  const findings: Finding[] = []
  const consumers = new Map<string, number>()
  // Only the producer may declare queues. Without its password, each consumer looks at its own queues.
  const isProducerKnown = suite.passwordOf('producer', 'rabbitmq') !== undefined
  for (const service of services) {
    const password = suite.passwordOf(service.name, 'rabbitmq')
    if (password === undefined) {
      findings.push(unchecked(`RabbitMQ login of ${service.name}`, 'its password is not available here'))
      continue
    }
    const declares = service.name === 'producer'
    const examined = declares ? queueList : queueList.filter(({ name }) => consumes(service, name))
    const answer = await examineBroker(
      { ...suite.rabbitmq, username: service.name, password },
      { reads: service.consumes, queues: isProducerKnown && !declares ? [] : examined, declares },
    )
    findings.push(...answer.findings)
    for (const [queue, count] of answer.consumers) consumers.set(queue, count)
  }
  findings.push(...(await examineManagement(suite, queueList)))
  const connections = connectionsOf(suite, consumers)
  for (const { name, tables } of services) {
    if (tables === undefined) continue
    const password = suite.passwordOf(name, 'mysql')
    const question = { tables, retentionDays: suite.retention.days, connections }
    if (password === undefined) findings.push(unchecked(`MySQL login of ${name}`, 'its password is not available here'))
    else findings.push(...(await examineDatabase({ ...suite.mysql, user: name, password }, question)))
  }
  return withoutRepeats(findings)
}

const consumes = (service: Service, queue: string): boolean => service.consumes.some((name) => name === queue)

/** A replica has one consumer on each queue of its service. */
function connectionsOf({ mysql }: Suite, consumers: ReadonlyMap<string, number>): number | undefined {
  const withTables = services.filter(({ tables }) => tables !== undefined)
  const replicas = withTables.map((service) =>
    Math.max(...service.consumes.map((queue) => consumers.get(queue) ?? NaN)),
  )
  const all = replicas.reduce((sum, count) => sum + count, 0)
  return Number.isNaN(all) ? undefined : all * (mysql.poolSize + CHECKING_CONNECTIONS)
}

/** What does not depend on the user is found once for each of them. */
function withoutRepeats(findings: readonly Finding[]): Finding[] {
  return [...new Map(findings.map((finding) => [`${finding.check} ${finding.state}`, finding])).values()]
}
