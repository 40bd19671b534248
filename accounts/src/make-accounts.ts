// Creates the accounts of a deployment: a password for every user of RabbitMQ and MySQL, in files for the servers and services.
import { createHash, randomBytes } from 'node:crypto'
import { definitions } from './definitions.ts'
import { statements } from './statements.ts'
import { services } from './suite.ts'

// No dependencies, so that any image with Node can run this file.

/** Owner -> file name -> content. Each owner receives only its own files. */
export type Accounts = Readonly<Record<string, Readonly<Record<string, string>>>>

/** The files with one secret each, by owner. All other files are generated from these. */
const SECRETS: Readonly<Record<string, readonly string[]>> = {
  rabbitmq: ['operator-password', 'monitoring-password', 'erlang-cookie'],
  mysql: ['root-password', 'backup-password'],
  migrate: ['mysql-password'],
  ...Object.fromEntries(
    services.map(({ name, tables }) => [name, ['rabbitmq-password', ...(tables ? ['mysql-password'] : [])]]),
  ),
}
/** The owners of the files: both servers, the migration and the services. */
export const owners: readonly string[] = Object.keys(SECRETS)

const SECRET_BYTES = 32
const SALT_BYTES = 4

/**
 * Completes `existing`: keeps its secrets, creates missing ones, and generates the servers' files (`definitions.json` of
 * RabbitMQ, `accounts.sql` of MySQL) from them. The same secrets give the same files.
 * @throws Error that names a secret of `existing` if it has other characters than letters, digits, _ and -
 */
export function makeAccounts(existing: Accounts, newSecret: () => string = randomSecret): Accounts {
  const secrets = Object.fromEntries(
    Object.entries(SECRETS).map(([owner, files]) => [
      owner,
      Object.fromEntries(files.map((file) => [file, checked(owner, file, existing[owner]?.[file] || newSecret())])),
    ]),
  )
  // The passwords of operator, monitoring and backup are in the files of their server. Every other user is an owner with
  // files of its own.
  const passwordOn = (server: 'rabbitmq' | 'mysql') => (user: string) =>
    secrets[server]?.[`${user}-password`] ?? secrets[user]?.[`${server}-password`]
  return {
    ...secrets,
    rabbitmq: { ...secrets.rabbitmq, 'definitions.json': withPasswords(passwordOn('rabbitmq')) },
    mysql: { ...secrets.mysql, 'accounts.sql': statements((user) => given(user, passwordOn('mysql')(user))) },
  }
}

/** Base64url has no quotes or backslashes, so the secret can be inserted into SQL and JSON. */
const randomSecret = (): string => randomBytes(SECRET_BYTES).toString('base64url')

function checked(owner: string, file: string, secret: string): string {
  if (/^[\w-]+$/.test(secret)) return secret
  throw new Error(`the secret ${file} of ${owner} may contain only letters, digits, _ and -`)
}

/** The definitions, with the password hash of each user. */
function withPasswords(passwordOf: (user: string) => string | undefined): string {
  const users = definitions.users.map((user) => ({
    ...user,
    password_hash: rabbitmqHash(user.name, given(user.name, passwordOf(user.name))),
    hashing_algorithm: 'rabbit_password_hashing_sha256',
  }))
  return `${JSON.stringify({ ...definitions, users }, null, 2)}\n`
}

/**
 * Salt and SHA-256 of salt and password (https://www.rabbitmq.com/docs/passwords). The salt derives from user and
 * password, so that the same passwords give the same file. That is safe because the passwords are random.
 */
function rabbitmqHash(user: string, password: string): string {
  const salt = createHash('sha256').update(`${user} ${password}`).digest().subarray(0, SALT_BYTES)
  const hash = createHash('sha256').update(salt).update(password, 'utf8').digest()
  return Buffer.concat([salt, hash]).toString('base64')
}

function given(user: string, password: string | undefined): string {
  if (password === undefined) throw new Error(`there is no password for the user ${user}`)
  return password
}
