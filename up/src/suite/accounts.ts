// One RabbitMQ user and one MySQL user for each service of the local suite, with the same rights as in every other deployment.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeAccounts } from '@ims/accounts/to-directories'
import { serviceAccounts } from 'testkit/servers/definitions'
import type { Servers } from 'testkit/servers/servers'

/** Stored beside the servers' data, because it is useless without that data. */
const folderOf = (serversDirectory: string): string => join(serversDirectory, 'accounts')

/**
 * Creates or completes the accounts on our own servers. Resolves with the variables by which a service, or `migrate`,
 * uses its own account. Passwords stay in files, outside the environment.
 */
export async function prepareAccounts(
  serversDirectory: string,
  servers: Servers,
): Promise<(name: string) => Record<string, string>> {
  const folder = folderOf(serversDirectory)
  writeAccounts(folder)
  const read = (owner: string, file: string) => readFileSync(join(folder, owner, file), 'utf8')
  const { rabbitmq, mysql } = servers
  const definitions = serviceAccounts(read('rabbitmq', 'definitions.json'), rabbitmq.vhost, rabbitmq.version)
  await Promise.all([
    mysql.sql(read('mysql', 'accounts.sql')),
    // rabbitmqctl takes seconds, so it runs only for new users. The password tells the data of one broker from that of another.
    once(join(folder, 'imported-sha256'), `${rabbitmq.password} ${definitions}`, () =>
      rabbitmq.importDefinitions(definitions),
    ),
  ])
  const given = (name: string, prefix: 'RABBITMQ' | 'MYSQL', user: string): Record<string, string> => {
    const file = join(folder, name, `${prefix.toLowerCase()}-password`)
    return existsSync(file) ? { [user]: name, [`${prefix}_PASSWORD_FILE`]: file } : {}
  }
  return (name) => ({
    ...given(name, 'RABBITMQ', 'RABBITMQ_USERNAME'),
    ...given(name, 'MYSQL', 'MYSQL_USER'),
    // The queues are created together with the accounts. No service may create or delete a queue.
    RABBITMQ_TOPOLOGY: 'check',
  })
}

/** Deletes the passwords, together with the servers' data. */
export function removeAccounts(serversDirectory: string): void {
  rmSync(folderOf(serversDirectory), { recursive: true, force: true })
}

async function once(marker: string, what: string, work: () => Promise<void>): Promise<void> {
  const fingerprint = createHash('sha256').update(what).digest('hex')
  if (existsSync(marker) && readFileSync(marker, 'utf8') === fingerprint) return
  await work()
  writeFileSync(marker, fingerprint, { mode: 0o600 })
}
