// The error for a table that cannot be migrated as it is.

/** Existing tables or rows prevent a migration. The message names them, and an operator must decide. */
export class MigrationRefused extends Error {
  override readonly name = 'MigrationRefused'
}
