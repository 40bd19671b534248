// Pairs of time limits, with their default values. In each pair, the first must be shorter than the second.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { definitions } from '@ims/accounts/definitions'
import { consumerEnvironment, rabbitmqEnvironment } from '@ims/messaging'
import { mysqlEnvironment } from '@ims/repository'
import { describe, expect, it } from '@jest/globals'
import { LOOKING_FOR_FREE_ROWS_MAX_MS } from '../../../messaging/src/incoming/attempts.ts'
import { RETURN_PAUSE_MAX_MS, RETURN_PAUSE_MIN_MS } from '../../../messaging/src/incoming/consumer.ts'
import { httpEnvironment } from '../../../producer/src/config.ts'
import { IDLE_TIMEOUT_S } from '../../../repository/src/session.ts'
import { runtimeSections } from '../../../runtime/src/run-service.ts'
import { ROOT } from '../stack.ts'

const read = (path: string) => readFileSync(join(ROOT, path), 'utf8')
const numberIn = (path: string, pattern: RegExp) => Number(pattern.exec(read(path))?.[1])

const rabbitmq = rabbitmqEnvironment.parse({})
const consumer = consumerEnvironment.parse({})
const mysql = mysqlEnvironment.parse({})
const http = httpEnvironment.parse({})
const shutdownMs = runtimeSections().shutdown.parse({}).timeoutMs
const producerInKubernetes = 'kubernetes/manifest/producer/producer-deployment.yaml'
const producerShutdownMs = numberIn(producerInKubernetes, /SHUTDOWN_TIMEOUT_MS\n\s+value: "(\d+)"/)
const graceInComposeMs =
  1_000 * numberIn('dockercompose/docker-compose.yml', /x-service:[\s\S]*?stop_grace_period: (\d+)s/)
const consumerTimeoutMs = [
  'dockercompose/rabbitmq/rabbitmq.conf',
  'kubernetes/manifest/rabbitmq/rabbitmq-configmap.yaml',
].map((path) => numberIn(path, /consumer_timeout = (\d+)/))

/**
 * The longest time for which a message is in flight: the consumer retries it, then every statement of the last attempt times
 * out, and then the consumer reports the outcome.
 */
const inFlightMaxMs =
  Math.max(consumer.holdMaxMs, LOOKING_FOR_FREE_ROWS_MAX_MS) +
  consumer.retryMaxMs +
  mysql.acquireTimeoutMs +
  3 * mysql.statementTimeoutMs +
  2 * rabbitmq.confirmTimeoutMs

const times: readonly (readonly [shorter: string, ms: number, longer: string, ms: number])[] = [
  ['the lock timeout', 1_000 * mysql.lockTimeoutS, 'the statement timeout', mysql.statementTimeoutMs],
  ['the statement timeout', mysql.statementTimeoutMs, 'the maximum age of a connection', mysql.connectionAgeMaxMs],
  [
    'the time after which a frozen process loses its locks',
    1_000 * IDLE_TIMEOUT_S,
    'the maximum time of retries of messages that need them',
    consumer.holdMaxMs + 1,
  ],
  ['the connect timeout', mysql.connectTimeoutMs, 'the acquire timeout of the pool', mysql.acquireTimeoutMs + 1],
  ['the confirm timeout', rabbitmq.confirmTimeoutMs, 'the detection of a silent broker', 2_000 * rabbitmq.heartbeatS],
  ['the detection of a silent broker', 2_000 * rabbitmq.heartbeatS, 'the request timeout', http.rpcTimeoutMs],
  ['the interval between retries', consumer.retryMaxMs, 'the maximum time of retries', consumer.holdMaxMs + 1],
  [
    'a statement and a confirm in flight when a consumer stops',
    mysql.statementTimeoutMs + rabbitmq.confirmTimeoutMs,
    'the shutdown timeout',
    shutdownMs,
  ],
  ['the shutdown timeout', shutdownMs, 'the grace period in compose', graceInComposeMs],
  ['the request timeout', http.rpcTimeoutMs, 'the shutdown timeout of the producer in Kubernetes', producerShutdownMs],
  ...consumerTimeoutMs.map(
    (ms) => ['the longest time of a message in flight', inFlightMaxMs, 'consumer_timeout of the broker', ms] as const,
  ),
]

describe('the time limits', () => {
  it.each(times)('%s (%d ms) is shorter than %s (%d ms)', (_, shorterMs, __, longerMs) => {
    expect(shorterMs).toBeLessThan(longerMs)
  })

  it('let a message be requeued fewer times per hour than the delivery limit, even with the shortest pauses', () => {
    const limits = definitions.policies
      .map(({ definition }) => Number(definition['delivery-limit'] ?? -1))
      .filter((limit) => limit >= 0)
    let returns = 0
    for (let passedMs = 0; passedMs < 3_600_000; returns += 1)
      passedMs += consumer.holdMaxMs + 0.5 * Math.min(RETURN_PAUSE_MAX_MS, RETURN_PAUSE_MIN_MS * 4 ** returns)
    expect(returns).toBeLessThan(Math.min(...limits))
  })
})
