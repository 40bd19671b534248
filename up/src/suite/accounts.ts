// A RabbitMQ user and a MySQL user for each service of the local suite, with the same permissions as in all other deployments.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeAccounts } from '@ims/accounts/to-directories'
import { serviceAccounts } from 'testkit/servers/definitions'
import type { Servers } from 'testkit/servers/servers'

/** The accounts are stored next to the data of the servers, because they are valid only for this data. */
const folderOf = (serversDirectory: string): string => join(serversDirectory, 'accounts')

/**
 * Creates missing accounts on our own servers. Resolves with a function that returns the environment variables with the
 * account of a service, or of `migrate`. The variables contain the paths of password files, not passwords.
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
    // rabbitmqctl takes seconds, so it runs only when the definitions change. The broker's password identifies its data.
    once(join(folder, 'imported-sha256'), `${rabbitmq.password} ${definitions}`, () =>
      rabbitmq.importDefinitions(definitions),
    ),
  ])
  const account = (name: string, prefix: 'RABBITMQ' | 'MYSQL', user: string): Record<string, string> => {
    const file = join(folder, name, `${prefix.toLowerCase()}-password`)
    return existsSync(file) ? { [user]: name, [`${prefix}_PASSWORD_FILE`]: file } : {}
  }
  return (name) => ({
    ...account(name, 'RABBITMQ', 'RABBITMQ_USERNAME'),
    ...account(name, 'MYSQL', 'MYSQL_USER'),
    // The queues are created with the accounts. Services have no permission to create or delete queues.
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
