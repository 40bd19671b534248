// The public exports of the repository.
export {
  type MysqlConfig,
  mysqlEnvironment,
  type RetentionConfig,
  retentionEnvironment,
} from './config.ts'
export type {
  Adjustment,
  AdjustOutcome,
  Command,
  CreateOutcome,
  DeleteOutcome,
  Inventory,
  Movement,
  NewItem,
  PageRequest,
  Recorded,
  RecordedVerdict,
  StockItem,
} from './contract.ts'
export { type Database, openDatabase } from './database.ts'
export { DatabaseError } from './errors.ts'
export { type IdWatch, watchIds } from './ids.ts'
export { inventoryIn } from './inventory.ts'
export { type LowStockWatch, watchLowStock } from './low-stock.ts'
export { MigrationRefused, migrate } from './migrate.ts'
export { type Retention, startRetention } from './retention.ts'
export type { Log, Service } from './service.ts'
