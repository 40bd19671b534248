// The text that is printed when the suite is up: addresses and example calls.
import { relative } from 'node:path'
import { logDirectory } from './fleet.ts'
import type { Suite, SuiteServers } from './suite.ts'

const ITEM = '{"sku":"IB123456789","name":"Tropicana Apple Juice","label":"juice","price":25.00,"quantity":50}'
const SKU = '{"sku":"IB123456789"}'
// With `Prefer: wait`, the item is stored before the next call lists it, even if a user pastes all calls at once.
const HEADERS = "-H 'Content-Type: application/json' -H 'Prefer: wait=5'"

/** The final output of `up`. It contains no passwords, because users copy it to chats and tickets. */
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
    '`npm run status` shows its state. `npm run down`, or Ctrl-C in the foreground, stops it and keeps the data.',
  ].join('\n')
}

/** The four calls of the original suite as shell commands. */
export const callsToTry = (http: string): string[] => [
  `curl ${http}/healthcheck`,
  `curl -X POST ${http}/create_item ${HEADERS} -d '${ITEM}'`,
  `curl ${http}/order_processing`,
  `curl -X POST ${http}/stock_management ${HEADERS} -d '${SKU}'`,
]
