// MySQL's users and their privileges, as statements that can be repeated, made from the list of the suite.
import { services } from './suite.ts'

const DATABASE = 'ims'
/** The migration changes the schema, and fills what it made. */
const MIGRATE = 'SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, DROP, LOCK TABLES'

/** Each service that has tables, with the privileges on each of them. */
const withTables = services.flatMap(({ name, tables }) => (tables === undefined ? [] : [{ name, tables }]))

/**
 * The users of MySQL and what each may do: its own work and no more. mysqld reads the statements with --init-file at every
 * start, which takes one statement from each line.
 * @param passwordOf throws when there is none for the user
 */
export function statements(passwordOf: (user: string) => string): string {
  const users = ['migrate', 'backup', ...withTables.map(({ name }) => name)]
  const identified = (user: string) => `ALTER USER ${account(user)} IDENTIFIED BY '${passwordOf(user)}';`
  const grants = withTables.flatMap(({ name, tables }) =>
    Object.entries(tables).map(([table, rights]) => ({ name, table, rights })),
  )
  return [
    `CREATE DATABASE IF NOT EXISTS ${DATABASE} CHARACTER SET utf8mb4;`,
    // Everybody begins without privileges, so that none is kept from an earlier version.
    `CREATE USER IF NOT EXISTS ${users.map(account).join(', ')};`,
    `REVOKE ALL PRIVILEGES, GRANT OPTION FROM ${users.map(account).join(', ')};`,
    ...users.map(identified),
    `GRANT ${MIGRATE} ON ${DATABASE}.* TO ${account('migrate')};`,
    `GRANT SELECT ON ${DATABASE}.* TO ${account('backup')};`,
    // The migration makes the tables later: MySQL grants a privilege on a table to come only together with CREATE, which is revoked.
    ...grants.map(
      ({ name, table, rights }) => `GRANT CREATE, ${rights.join(', ')} ON ${DATABASE}.${table} TO ${account(name)};`,
    ),
    ...grants.map(({ name, table }) => `REVOKE CREATE ON ${DATABASE}.${table} FROM ${account(name)};`),
    '',
  ].join('\n')
}

const account = (user: string): string => `'${user}'@'%'`
