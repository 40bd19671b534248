// Adds the column `error` to the inbox. It contains the reason for a refusal, and is null for applied messages and in existing rows.
import type { MigrationInterface, QueryRunner } from 'typeorm'
import { z } from 'zod'

const found = z.array(z.unknown())

export class InboxError1764000000004 implements MigrationInterface {
  readonly name = 'InboxError1764000000004'

  /** MySQL and MariaDB add the column without copying the table. Processes of the previous version do not read it. */
  async up(runner: QueryRunner): Promise<void> {
    const columns: unknown = await runner.query(
      `SELECT 1 FROM information_schema.columns
       WHERE table_schema = DATABASE() AND table_name = 'inbox' AND column_name = 'error'`,
    )
    if (found.parse(columns).length > 0) return
    await runner.query('ALTER TABLE inbox ADD COLUMN error VARCHAR(1000) CHARACTER SET utf8mb4 NULL')
  }

  async down(): Promise<void> {
    throw new Error(
      'the column is not dropped by a migration: without it, redelivered messages that were refused would be processed again',
    )
  }
}
