// Creates the table inbox, which records each applied message with its outcome and time.
import type { MigrationInterface, QueryRunner } from 'typeorm'

export class CreateInbox1764000000003 implements MigrationInterface {
  readonly name = 'CreateInbox1764000000003'

  async up(runner: QueryRunner): Promise<void> {
    // VARBINARY compares byte for byte and keeps trailing blanks. 255 characters of up to 4 bytes fit into 1020.
    await runner.query(
      `CREATE TABLE IF NOT EXISTS inbox (
         queue VARCHAR(64) NOT NULL,
         message_id VARBINARY(1020) NOT NULL,
         fingerprint VARCHAR(64) NOT NULL,
         outcome VARCHAR(32) NOT NULL,
         applied_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
         PRIMARY KEY (queue, message_id),
         KEY applied_at (applied_at)
       ) ENGINE=InnoDB DEFAULT CHARSET=ascii COLLATE=ascii_bin`,
    )
  }

  async down(): Promise<void> {
    throw new Error(
      'the table inbox is not dropped by a migration: without it, redelivered messages would be applied twice',
    )
  }
}
