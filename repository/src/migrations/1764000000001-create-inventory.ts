// Creates the table inventory like the Python suite does, but with DECIMAL prices and bytewise text comparison. An existing table is not changed.
import type { MigrationInterface, QueryRunner } from 'typeorm'
import { exactCollation } from './collation.ts'

export class CreateInventory1764000000001 implements MigrationInterface {
  readonly name = 'CreateInventory1764000000001'

  async up(runner: QueryRunner): Promise<void> {
    const collation = await exactCollation((statement, parameters) => runner.query(statement, parameters))
    await runner.query(
      `CREATE TABLE IF NOT EXISTS inventory (
         id INT NOT NULL AUTO_INCREMENT,
         sku VARCHAR(20) NULL,
         name VARCHAR(100) NULL,
         label VARCHAR(50) NULL,
         price DECIMAL(15,4) NULL,
         quantity INT NULL,
         PRIMARY KEY (id),
         UNIQUE KEY sku (sku)
       ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=${collation}`,
    )
  }

  async down(): Promise<void> {
    throw new Error('the table inventory is not dropped by a migration: it holds the stock')
  }
}
