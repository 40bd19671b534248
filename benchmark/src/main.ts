// `npm run bench`: the suite against bare ceilings, interleaved on private servers, as a table of ratios.
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startServers } from 'local'
import { endAll } from './processes.ts'
import { acceptRounds, drainRounds, idleMemory, listingRounds } from './scenarios.ts'
import { prepare } from './stage.ts'
import { printTable, type Row, ratioRow } from './table.ts'

const ROUNDS = 3
const root = fileURLToPath(new URL('../..', import.meta.url))
const directory = await mkdtemp(join(root, '.local', 'bench-'))
const say = (line: string) => process.stderr.write(`${line}\n`)
say('starting private servers')
const servers = await startServers({ directory, onProgress: say })
try {
  const stage = await prepare(servers)
  const rows: Row[] = []
  say('accept: POST /create_item, 64 connections')
  rows.push(ratioRow('accept `POST /create_item`, 64 connections (requests/s)', await acceptRounds(stage, ROUNDS), 0.8))
  say('drain: 40,000 create messages')
  rows.push(ratioRow('drain 40,000 create messages (messages/s)', await drainRounds(stage, ROUNDS), 0.7))
  for (const { connections, least } of [
    { connections: 1, least: 0.7 },
    { connections: 16, least: 1 },
  ]) {
    say(`list: GET /order_processing of 1,000 items, ${connections} connection(s)`)
    rows.push(
      ratioRow(
        `list 1,000 items, ${connections} connection(s) (requests/s)`,
        await listingRounds(stage, ROUNDS, connections),
        least,
      ),
    )
  }
  say('memory: five services, idle')
  rows.push(...(await idleMemory(stage)))
  await stage.close()
  printTable(rows, `RabbitMQ ${servers.rabbitmq.version}, ${servers.mysql.version}, Node ${process.version}`)
} finally {
  endAll()
  await servers.close({ deleteData: true })
  await rm(directory, { recursive: true, force: true })
}
