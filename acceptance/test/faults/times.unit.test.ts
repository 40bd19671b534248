// One table of time limits: which must be shorter than which, with the values in use. A wrong pair is named.

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
 * The longest time a message is in flight: held, then a last attempt in which every statement times out, then the
 * report of its outcome.
 */
const inFlightMaxMs =
  Math.max(consumer.holdMaxMs, LOOKING_FOR_FREE_ROWS_MAX_MS) +
  consumer.retryMaxMs +
  mysql.acquireTimeoutMs +
  3 * mysql.statementTimeoutMs +
  2 * rabbitmq.confirmTimeoutMs

const times: readonly (readonly [shorter: string, ms: number, longer: string, ms: number])[] = [
  ['a wait for a lock', 1_000 * mysql.lockTimeoutS, 'the answer to its statement', mysql.statementTimeoutMs],
  ['a statement', mysql.statementTimeoutMs, 'the life of a connection', mysql.connectionAgeMaxMs],
  [
    'the locks of a process that stands still',
    1_000 * IDLE_TIMEOUT_S,
    'holding messages that need them',
    consumer.holdMaxMs + 1,
  ],
  ['opening a connection', mysql.connectTimeoutMs, 'waiting for one of the pool', mysql.acquireTimeoutMs + 1],
  ['a confirm', rabbitmq.confirmTimeoutMs, 'noticing a silent broker', 2_000 * rabbitmq.heartbeatS],
  ['noticing a silent broker', 2_000 * rabbitmq.heartbeatS, 'an answer to a request', http.rpcTimeoutMs],
  ['a pause between two attempts', consumer.retryMaxMs, 'holding messages', consumer.holdMaxMs + 1],
  [
    'what is in hand when a consumer stops',
    mysql.statementTimeoutMs + rabbitmq.confirmTimeoutMs,
    'its shutdown',
    shutdownMs,
  ],
  ['the shutdown of a service', shutdownMs, 'its grace period in compose', graceInComposeMs],
  ['an answer to a request', http.rpcTimeoutMs, 'the shutdown of the producer in Kubernetes', producerShutdownMs],
  ...consumerTimeoutMs.map((ms) => ['a message in hand', inFlightMaxMs, 'consumer_timeout of the broker', ms] as const),
]

describe('the times fit together', () => {
  it.each(times)('%s (%d ms) is shorter than %s (%d ms)', (_, shorterMs, __, longerMs) => {
    expect(shorterMs).toBeLessThan(longerMs)
  })

  it('requeues a message less often per hour than the delivery limit, even with the shortest pauses', () => {
    const limits = definitions.policies
      .map(({ definition }) => Number(definition['delivery-limit'] ?? -1))
      .filter((limit) => limit >= 0)
    let returns = 0
    for (let passedMs = 0; passedMs < 3_600_000; returns += 1)
      passedMs += consumer.holdMaxMs + 0.5 * Math.min(RETURN_PAUSE_MAX_MS, RETURN_PAUSE_MIN_MS * 4 ** returns)
    expect(returns).toBeLessThan(Math.min(...limits))
  })
})
