// Runs the commands of docs/operations.md that back up and restore the database, while the producer still accepts commands.
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { serviceNames } from '@ims/accounts/suite'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { eventually } from 'testkit'
import { findProgram } from '../find-program.ts'
import { call, item } from '../http.ts'
import { migrate, type ServiceName, type Stack, startStack } from '../stack.ts'
import { codeBlocks, ROOT } from './documents.ts'

const shell = promisify(execFile)
const page = readFileSync(join(ROOT, 'docs/operations.md'), 'utf8')
const [backup = '', restore = ''] = codeBlocks(page.slice(page.indexOf('## Backup and restore')), 'sh')

const missing = findProgram('mysqldump', 'mariadb-client')
const describeWithDump = typeof missing === 'string' ? describe.skip : describe
const why = typeof missing === 'string' ? ` (skipped: ${missing})` : ''

describeWithDump(`docs/operations.md${why}`, () => {
  let stack: Stack
  let folder: string
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'ims-backup-'))
    stack = await startStack('operations')
  })
  afterAll(async () => {
    rmSync(folder, { recursive: true, force: true })
    await stack.stop()
  })

  /** Runs a block without containers. Services are processes, and this test's database takes the place of the one in Compose. */
  async function run(block: string): Promise<void> {
    const { host, port, user, password, database } = stack.space.mysql
    for (const line of block.trim().split('\n')) {
      const [, verb, names = ''] = /^docker compose (stop|up)\b(.*)$/.exec(line) ?? []
      if (verb === 'stop') {
        stopped = serviceNames.filter((name) => names.split(' ').includes(name))
        for (const name of stopped) stack.service(name).kill('SIGTERM')
        for (const name of stopped) await stack.service(name).exited
      } else if (verb === 'up') {
        await migrate(stack.env)
        for (const name of stopped) await stack.start(name)
        await stack.ready(...serviceNames)
      } else {
        const here = line
          .replace('docker compose exec -T mysql ', '')
          // MariaDB's mysqldump has no such option. MySQL 9.7, which has GTIDs by default, refuses a dump without it.
          .replace('--set-gtid-purged=OFF ', '')
          .replace('"$(cat /run/accounts/root-password)"', password)
          .replace('--user=root', `--host=${host} --port=${port} --user=${user}`)
          .replace(/ ims'/, ` ${database}'`)
        await shell('bash', ['-euc', here], { cwd: folder })
      }
    }
  }
  let stopped: ServiceName[] = []

  const post = async (path: string, json: object, wait = 20) =>
    (await call(`${stack.http}/${path}`, { json, headers: wait > 0 ? { Prefer: `wait=${wait}` } : {} })).status
  const sold = { sku: 'SKU-9', change: -1, reason: 'sold' }
  const listed = async () => (await call(`${stack.http}/order_processing`)).body

  it('shows how to back up and restore the database without losing commands that arrive meanwhile', async () => {
    expect(await post('create_item', item(9))).toBe(201)
    expect(await post('stock_adjustment', sold)).toBe(201)
    await run(backup)
    expect(await post('create_item', item(2))).toBe(201)
    expect(await post('stock_adjustment', sold)).toBe(201)
    const [stop = '', load = '', start = ''] = restore.trim().split('\n')
    await run(stop)
    expect(await post('create_item', item(3), 0)).toBe(200)
    expect(await post('stock_adjustment', sold, 0)).toBe(200)
    await run(load)
    await run(start)
    await eventually(async () => expect(await listed()).toEqual([{ ...item(9), quantity: 7 }, item(3)]))
    const [movements] = await stack.pool.query('SELECT quantity_after FROM movement ORDER BY id')
    expect(movements).toEqual([{ quantity_after: 8 }, { quantity_after: 7 }])
  })
})
