// Checks the broker and the database as every user of the suite. Each check runs as a user that is allowed to do it.
import { queues, type Service, services } from '@ims/accounts/suite'
import type { RabbitmqConfig } from '@ims/messaging'
import { type BrokerQuestion, examineBroker } from '@ims/messaging/doctor'
import type { MysqlConfig, RetentionConfig } from '@ims/repository'
import { type DatabaseQuestion, examineDatabase } from '@ims/repository/doctor'
import { type Finding, unchecked } from '@ims/runtime/finding'
import { examineManagement } from './management.ts'

export interface Suite {
  readonly rabbitmq: RabbitmqConfig
  readonly mysql: MysqlConfig
  readonly retention: RetentionConfig
  /** The base URL of RabbitMQ's management API. Undefined if none is given. */
  readonly management: string | undefined
  /** The password of a user. Undefined when it is not available here. */
  passwordOf(user: string, server: 'rabbitmq' | 'mysql'): string | undefined
}

/** Each process opens its pool, and one more connection for readiness checks. */
const CHECKING_CONNECTIONS = 1

const queueList = Object.entries(queues).map(([name, kind]) => ({ name, hasDeadLetters: kind === 'command' }))

/** Runs all checks. Never rejects. */
export async function examineSuite(suite: Suite): Promise<Finding[]> {
  const findings: Finding[] = []
  const consumers = new Map<string, number>()
  const examineAs = async (username: string, password: string, question: Omit<BrokerQuestion, 'declares'>) => {
    // No service may declare queues, but the user of the environment may be an operator.
    const declares = !services.some(({ name }) => name === username)
    const result = await examineBroker({ ...suite.rabbitmq, username, password }, { ...question, declares })
    findings.push(...result.findings)
    for (const [queue, count] of result.consumers) consumers.set(queue, count)
  }
  const { username, password: own } = suite.rabbitmq
  if (!services.some(({ name }) => name === username)) await examineAs(username, own, { reads: [], queues: queueList })
  for (const service of services) {
    const password = suite.passwordOf(service.name, 'rabbitmq')
    if (password === undefined)
      findings.push(unchecked(`RabbitMQ login of ${service.name}`, 'its password is not available here'))
    else
      await examineAs(service.name, password, {
        reads: service.consumes,
        // Any user can check a queue. The producer checks the queues that no other user has checked.
        queues: queueList.filter(({ name }) =>
          service.name === 'producer' ? !consumers.has(name) : consumes(service, name),
        ),
      })
  }
  findings.push(...(await examineManagement(suite, queueList)))
  const connections = connectionsOf(suite, consumers)
  const inspect = async (user: string, password: string, tables: DatabaseQuestion['tables']) => {
    const question = { tables, retentionDays: suite.retention.days, connections }
    findings.push(...(await examineDatabase({ ...suite.mysql, user, password }, question)))
  }
  const { user, password: mysqlPassword } = suite.mysql
  if (!services.some(({ name }) => name === user)) await inspect(user, mysqlPassword, {})
  for (const { name, tables } of services) {
    if (tables === undefined) continue
    const password = suite.passwordOf(name, 'mysql')
    if (password === undefined) findings.push(unchecked(`MySQL login of ${name}`, 'its password is not available here'))
    else await inspect(name, password, tables)
  }
  return withoutRepeats(findings)
}

const consumes = (service: Service, queue: string): boolean => service.consumes.some((name) => name === queue)

/**
 * The maximum number of MySQL connections of all replicas, or undefined if it is not known. Estimated from the consumers: a
 * replica has one on each queue of its service, or two after an outage, so the result can be too high but not too low.
 */
function connectionsOf({ mysql }: Suite, consumers: ReadonlyMap<string, number>): number | undefined {
  const withTables = services.filter(({ tables }) => tables !== undefined)
  const replicas = withTables.map((service) =>
    Math.max(...service.consumes.map((queue) => consumers.get(queue) ?? NaN)),
  )
  const all = replicas.reduce((sum, count) => sum + count, 0)
  return Number.isNaN(all) ? undefined : all * (mysql.poolSize + CHECKING_CONNECTIONS)
}

/** Removes equal findings of several users, and unchecked ones that another user could check. */
function withoutRepeats(findings: readonly Finding[]): Finding[] {
  const known = new Set(findings.filter(({ state }) => state !== 'unchecked').map(({ check }) => check))
  const kept = findings.filter(({ check, state }) => state !== 'unchecked' || !known.has(check))
  return [...new Map(kept.map((finding) => [`${finding.check} ${finding.state}`, finding])).values()]
}
