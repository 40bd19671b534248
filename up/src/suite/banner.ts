// What the user needs once the suite is up: addresses, and calls to try.
import { relative } from 'node:path'
import { logDirectory } from './fleet.ts'
import type { Suite, SuiteServers } from './suite.ts'

const ITEM = '{"sku":"IB123456789","name":"Tropicana Apple Juice","label":"juice","price":25.00,"quantity":50}'
const SKU = '{"sku":"IB123456789"}'
// If all calls are pasted at once, the item is listed before it is stored, unless the create waits for its outcome.
const HEADERS = "-H 'Content-Type: application/json' -H 'Prefer: wait=5'"

/** The final lines of `up`. They contain no passwords, because people copy them into chats and tickets. */
export function banner({ http, directory, admins }: Suite, { mode, rabbitmq, mysql }: SuiteServers): string {
  const ports = admins.map(({ name, admin }) => `${name} ${admin}`).join(', ')
  return [
    '',
    'The suite is up.',
    `  HTTP      ${http} (a browser shows the console)`,
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

/** The four calls of the API as shell commands. */
export const callsToTry = (http: string): string[] => [
  `curl ${http}/healthcheck`,
  `curl -X POST ${http}/create_item ${HEADERS} -d '${ITEM}'`,
  `curl ${http}/order_processing`,
  `curl -X POST ${http}/stock_management ${HEADERS} -d '${SKU}'`,
]
