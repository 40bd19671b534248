// Ceilings for listing, without a broker: the whole list at once, as a stream of rows, and in pages by key.
import { once } from 'node:events'
import express, { type Response } from 'express'
import { createPool, type RowDataPacket } from 'mysql2'

const PAGE_ITEMS = 1_000
const COLUMNS = 'sku, name, label, price + 0E0 AS price, quantity'

const pool = createPool({ uri: process.env.BENCH_MYSQL_URL ?? '', connectionLimit: 10 })
const app = express()
app.disable('etag')
app.disable('x-powered-by')

app.get('/order_processing', async (_, response) => {
  const [rows] = await pool.promise().query(`SELECT ${COLUMNS} FROM inventory ORDER BY id`)
  response.json(rows)
})

app.get('/stream', (_, response) => {
  response.setHeader('Content-Type', 'application/json')
  pool.getConnection((error, connection) => {
    if (error) return void response.status(503).end()
    const rows = connection.query(`SELECT ${COLUMNS} FROM inventory ORDER BY id`).stream({ highWaterMark: PAGE_ITEMS })
    void writeRows(rows, response).finally(() => connection.release())
  })
})

/** Writes in chunks, because one write for each row is several times slower. */
async function writeRows(rows: AsyncIterable<unknown>, response: Response): Promise<void> {
  let piece: string[] = []
  let start = '['
  for await (const row of rows) {
    piece.push(JSON.stringify(row))
    if (piece.length < PAGE_ITEMS) continue
    if (!response.write(start + piece.join(','))) await once(response, 'drain')
    start = ','
    piece = []
  }
  response.end(`${piece.length > 0 || start === '[' ? start : ''}${piece.join(',')}]`)
}

app.get('/pages', async (_, response) => {
  response.setHeader('Content-Type', 'application/json')
  let after = 0
  let start = '['
  for (;;) {
    const [rows] = await pool
      .promise()
      .query<RowDataPacket[]>(`SELECT id, ${COLUMNS} FROM inventory WHERE id > ? ORDER BY id LIMIT ?`, [
        after,
        PAGE_ITEMS,
      ])
    const json = JSON.stringify(rows.map(({ id: _id, ...item }) => item))
    if (rows.length > 0) {
      if (!response.write(start + json.slice(1, -1))) await once(response, 'drain')
      start = ','
    }
    if (rows.length < PAGE_ITEMS) break
    after = rows.at(-1)?.id
  }
  response.end(start === '[' ? '[]' : ']')
})

app.listen(Number(process.env.PORT), '127.0.0.1')
