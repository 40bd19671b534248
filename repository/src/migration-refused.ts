// The error for a table that cannot be migrated as it is.

/** Existing data prevents a migration, and the message names it: an operator must decide. Nothing was changed. */
export class MigrationRefused extends Error {
  override readonly name = 'MigrationRefused'
}
