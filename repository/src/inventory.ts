// The inventory in MySQL: create, delete, adjust, and pages of items and movements.
import { adjustStock } from './adjust.ts'
import type { Inventory } from './contract.ts'
import { creatorIn } from './create.ts'
import type { Database } from './database.ts'
import { deleterIn } from './delete.ts'
import { pageOfMovements } from './movements.ts'
import { page } from './page.ts'
import { recordedOf } from './recorded.ts'

/** The inventory of this database, which implements `Inventory`. Errors are DatabaseErrors. */
export function inventoryIn(database: Database): Inventory {
  return {
    create: creatorIn(database),
    delete: deleterIn(database),
    adjust: (commands) => adjustStock(database, commands),
    movements: (request) => pageOfMovements(database, request),
    recorded: (messageIds) => recordedOf(database, messageIds),
    page: (request) => page(database, request),
  }
}
