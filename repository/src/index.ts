// The public exports of the repository.
export { type MysqlConfig, mysqlEnvironment, type RetentionConfig, retentionEnvironment } from './config.ts'
export type { AdjustOutcome, CreateOutcome, DeleteOutcome, Inventory, PageRequest } from './contract.ts'
export { openDatabase } from './database.ts'
export { watchIds } from './ids.ts'
export { inventoryIn } from './inventory.ts'
export { watchLowStock } from './low-stock.ts'
export { migrate } from './migrate.ts'
export { startRetention } from './retention.ts'
