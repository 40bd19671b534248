// The two tables as TypeORM knows them; the migrations make them so, and a test compares the two.
import { EntitySchema } from 'typeorm'

export interface InventoryRow {
  id: number
  sku: string | null
  name: string | null
  label: string | null
  price: string | null
  quantity: number | null
}

/** The stock, one row per sku. Columns may be NULL because the Python suite's table has them so. */
export const inventoryEntity = new EntitySchema<InventoryRow>({
  name: 'inventory',
  tableName: 'inventory',
  columns: {
    id: { type: 'int', primary: true, generated: 'increment' },
    sku: { type: 'varchar', length: 20, nullable: true },
    name: { type: 'varchar', length: 100, nullable: true },
    label: { type: 'varchar', length: 50, nullable: true },
    price: { type: 'decimal', precision: 15, scale: 4, nullable: true },
    quantity: { type: 'int', nullable: true },
  },
  indices: [{ name: 'sku', columns: ['sku'], unique: true }],
})

export interface InboxRow {
  queue: string
  message_id: Buffer
  fingerprint: string
  outcome: string
  error: string | null
  applied_at: Date
}

/** The messages that were applied, recorded in the transaction of their effect. */
export const inboxEntity = new EntitySchema<InboxRow>({
  name: 'inbox',
  tableName: 'inbox',
  columns: {
    queue: { type: 'varchar', length: 64, primary: true },
    message_id: { type: 'varbinary', length: 1020, primary: true },
    fingerprint: { type: 'varchar', length: 64 },
    outcome: { type: 'varchar', length: 32 },
    error: { type: 'varchar', length: 1000, nullable: true },
    applied_at: { type: 'datetime', precision: 3, default: () => 'CURRENT_TIMESTAMP(3)' },
  },
  indices: [{ name: 'applied_at', columns: ['applied_at'] }],
})
