// Checks whether MySQL would execute an operation, without affecting a row. A ping does not notice a revoked privilege.

/** An operation of a consumer on the database. */
export type Operation = 'create' | 'delete' | 'adjust' | 'read'

const LOCK = 'SELECT id, sku FROM inventory FORCE INDEX (sku) WHERE FALSE FOR UPDATE'
const RECORD = `INSERT INTO inbox (queue, message_id, fingerprint, outcome, error)
  SELECT queue, message_id, fingerprint, outcome, error FROM inbox WHERE FALSE`

/**
 * Statements that fail like those of the operation when the server is read-only, or a privilege, a table or a column is
 * missing. They affect no row and use up no id.
 */
export const REHEARSALS: Readonly<Record<Operation, readonly string[]>> = {
  create: [
    `INSERT INTO inventory (sku, name, label, price, quantity)
     SELECT sku, name, label, price, quantity FROM inventory WHERE FALSE`,
    RECORD,
  ],
  delete: [LOCK, 'DELETE FROM inventory WHERE FALSE', RECORD],
  adjust: [
    LOCK,
    'UPDATE inventory SET quantity = quantity WHERE FALSE',
    RECORD,
    `INSERT INTO movement (message_id, item_id, sku, delta, quantity_before, quantity_after, reason)
     SELECT message_id, item_id, sku, delta, quantity_before, quantity_after, reason FROM movement WHERE FALSE`,
  ],
  read: ['SELECT sku, name, label, price, quantity FROM inventory WHERE FALSE'],
}
