// What the reader wants to know once the suite is up: where things are, and what to try.
import { relative } from 'node:path'
import { logDirectory } from './fleet.ts'
import type { Suite, SuiteServers } from './suite.ts'

const ITEM = '{"sku":"IB123456789","name":"Tropicana Apple Juice","label":"juice","price":25.00,"quantity":50}'
const SKU = '{"sku":"IB123456789"}'
// Whoever pastes all of them at once lists the item before it is stored, unless the create waits for the outcome.
const HEADERS = "-H 'Content-Type: application/json' -H 'Prefer: wait=5'"

/** The closing words of `up`, several lines. Passwords are not in it: it is copied into chats and tickets. */
export function banner({ http, directory, admins }: Suite, { mode, rabbitmq, mysql }: SuiteServers): string {
  const ports = admins.map(({ name, admin }) => `${name} ${admin}`).join(', ')
  return [
    '',
    'The suite is up.',
    `  HTTP      ${http}`,
    `  RabbitMQ  ${rabbitmq.host}:${rabbitmq.port}, vhost ${rabbitmq.vhost}, user ${rabbitmq.username} (${mode})`,
    `  MySQL     ${mysql.host}:${mysql.port}, database ${mysql.database}, user ${mysql.user} (${mode})`,
    `  Admin     ${ports} (/livez, /readyz, /metrics on 127.0.0.1)`,
    `  Logs      ${relative(process.cwd(), logDirectory(directory)) || '.'}/<service>.log`,
    '  Passwords npm run status -- --json',
    '',
    'Try it:',
    ...callsToTry(http).map((call) => `  ${call}`),
    '',
    '`npm run status` says how it is; `npm run down`, or Ctrl-C if it runs in the foreground, stops it. The data is kept.',
  ].join('\n')
}

/** The four calls of the API, as lines for a shell. */
export const callsToTry = (http: string): string[] => [
  `curl ${http}/healthcheck`,
  `curl -X POST ${http}/create_item ${HEADERS} -d '${ITEM}'`,
  `curl ${http}/order_processing`,
  `curl -X POST ${http}/stock_management ${HEADERS} -d '${SKU}'`,
]
