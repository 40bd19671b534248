// The error for a table that cannot be migrated as it is.

/** Data stands in the way of a migration, and the message says which: an operator must decide about it. Nothing was changed. */
export class MigrationRefused extends Error {
  override readonly name = 'MigrationRefused'
}
