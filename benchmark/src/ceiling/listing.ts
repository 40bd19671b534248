// Ceiling for listing: Express and mysql2, with no broker in between.
import express from 'express'
import mysql from 'mysql2/promise'

const pool = mysql.createPool({ uri: process.env.BENCH_MYSQL_URL ?? '', connectionLimit: 10 })
const app = express()
app.get('/order_processing', async (_, response) => {
  const [rows] = await pool.query('SELECT sku, name, label, price + 0E0 AS price, quantity FROM inventory ORDER BY id')
  response.json(rows)
})
app.listen(Number(process.env.PORT), '127.0.0.1')
