// Creates the table movement: every applied change of stock. The suite never changes or deletes a row.
import type { MigrationInterface, QueryRunner } from 'typeorm'
import { exactCollation } from './collation.ts'

export class CreateMovement1764000000006 implements MigrationInterface {
  readonly name = 'CreateMovement1764000000006'

  async up(runner: QueryRunner): Promise<void> {
    const collation = await exactCollation((statement, parameters) => runner.query(statement, parameters))
    // The unique key identifies a message for ever, even after the inbox has deleted its entry.
    await runner.query(
      `CREATE TABLE IF NOT EXISTS movement (
         id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
         message_id VARBINARY(1020) NOT NULL,
         item_id BIGINT NOT NULL,
         sku VARCHAR(20) NOT NULL,
         delta INT NOT NULL,
         quantity_before BIGINT NOT NULL,
         quantity_after BIGINT NOT NULL,
         reason VARCHAR(100) NOT NULL,
         requested_by VARCHAR(128) NULL,
         request_id VARCHAR(128) NULL,
         moved_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
         PRIMARY KEY (id),
         UNIQUE KEY message_id (message_id),
         KEY sku_id (sku, id)
       ) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=${collation}`,
    )
  }

  async down(): Promise<void> {
    throw new Error(
      'the table movement is not dropped by a migration: it is the only record of who changed which stock',
    )
  }
}
