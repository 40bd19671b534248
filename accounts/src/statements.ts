// MySQL's users and their privileges as repeatable statements, generated from the list of the suite.
import { services } from './suite.ts'

const DATABASE = 'ims'
/** The migration changes the schema and fills the new columns and tables. */
const MIGRATE = 'SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, DROP, LOCK TABLES'

/** Each service that uses tables, with its privileges on each table. */
const withTables = services.flatMap(({ name, tables }) => (tables === undefined ? [] : [{ name, tables }]))

/**
 * The users of MySQL, each with only the privileges it needs. mysqld runs the statements with --init-file at every
 * start, which requires one statement per line.
 * @param passwordOf throws when the user has no password
 */
export function statements(passwordOf: (user: string) => string): string {
  const users = ['migrate', 'backup', ...withTables.map(({ name }) => name)]
  const identified = (user: string) => `ALTER USER ${account(user)} IDENTIFIED BY '${passwordOf(user)}';`
  const grants = withTables.flatMap(({ name, tables }) =>
    Object.entries(tables).map(([table, rights]) => ({ name, table, rights })),
  )
  return [
    `CREATE DATABASE IF NOT EXISTS ${DATABASE} CHARACTER SET utf8mb4;`,
    // Revoke everything first, so that no user keeps a privilege from an earlier version.
    `CREATE USER IF NOT EXISTS ${users.map(account).join(', ')};`,
    `REVOKE ALL PRIVILEGES, GRANT OPTION FROM ${users.map(account).join(', ')};`,
    ...users.map(identified),
    `GRANT ${MIGRATE} ON ${DATABASE}.* TO ${account('migrate')};`,
    `GRANT SELECT ON ${DATABASE}.* TO ${account('backup')};`,
    // The tables do not exist before the migration. MySQL grants privileges on a missing table only together with
    // CREATE, so grant CREATE and revoke it again.
    ...grants.map(
      ({ name, table, rights }) => `GRANT CREATE, ${rights.join(', ')} ON ${DATABASE}.${table} TO ${account(name)};`,
    ),
    ...grants.map(({ name, table }) => `REVOKE CREATE ON ${DATABASE}.${table} FROM ${account(name)};`),
    '',
  ].join('\n')
}

const account = (user: string): string => `'${user}'@'%'`
