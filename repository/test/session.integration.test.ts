// Outcomes do not depend on the server's settings: they are the same with the session variables at their worst values.
import { mkdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { hasServerPrograms, type PrivateMysql, privateMysql } from 'testkit'
import { mysqlEnvironment } from '../src/config.ts'
import { openDatabase } from '../src/database.ts'
import { inventoryIn } from '../src/inventory.ts'
import { migrate } from '../src/migrate.ts'
import { creation, deletion } from './commands.ts'
import { serviceUnderTest } from './service.ts'

const directory = join(tmpdir(), `ims-session-${process.pid}`)
// Create it in a hook: if all tests are skipped, no hook deletes a directory that was created outside.
beforeAll(() => void mkdirSync(directory, { mode: 0o700 }))
let server: PrivateMysql | undefined
const here = hasServerPrograms() ? describe : describe.skip

const OPENS_WITHIN_MS = 60_000

/** Keeps the test's own root statements independent of the variables. */
const AS_USUAL = `SET SESSION TRANSACTION READ WRITE; SET SESSION autocommit = 1, sql_safe_updates = 0, sql_big_selects = 1,
  sql_select_limit = 18446744073709551615, completion_type = 0, foreign_key_checks = 1;`

/** Creates, deletes and lists items, starting with an empty inventory. Resolves with all outcomes and rows. */
async function outcomesOf(config: ReturnType<typeof configOf>, root: PrivateMysql['mysql']): Promise<unknown> {
  await root.sql(`${AS_USUAL} DELETE FROM ims.orders; DELETE FROM ims.inventory; DELETE FROM ims.inbox`)
  const service = serviceUnderTest()
  const waits = setTimeout(() => service.stop(), OPENS_WITHIN_MS)
  const database = await openDatabase(config, service).catch(() => {
    throw new Error(service.lines.at(-1))
  })
  clearTimeout(waits)
  const inventory = inventoryIn(database)
  try {
    const names = ['smile 😀', "it's \\ here", 'ярлык', 'plain']
    const items = Array.from({ length: 24 }, (_, n) => ({ sku: `K${n}`, name: names[n % 4] ?? '', price: n + 0.0001 }))
    const created = await inventory.create(
      items.map((item, n) => creation(item, { messageId: `c${n}`, fingerprint: `f${n}` })),
    )
    const repeated = await inventory.create([
      creation(items[0] ?? {}, { messageId: 'c0', fingerprint: 'f0' }),
      creation({ sku: 'K1' }),
    ])
    const refused = await inventory.create([
      creation({ sku: 'long', name: 'x'.repeat(101) }),
      creation({ sku: 'k0 ' }),
      creation({ sku: 'checked', label: 'forbidden' }),
    ])
    await root.sql(`${AS_USUAL} INSERT INTO ims.orders SELECT id FROM ims.inventory WHERE sku = 'K1'`)
    const kept = await inventory.delete([deletion('K1', { messageId: 'kept' })])
    const deleted = await inventory.delete(items.slice(2).map(({ sku }, n) => deletion(sku, { messageId: `d${n}` })))
    const again = await inventory.delete([deletion('K2', { messageId: 'd0' }), deletion('😀')])
    const { items: listed } = await inventory.page({ after: 0, limit: 100 })
    const filtered = await inventory.page({ after: 0, limit: 100, sku: 'k0 ' })
    // The retention of the inbox compares with UTC_TIMESTAMP.
    const recorded = await database.use((sql) =>
      sql('SELECT COUNT(*) + 0 AS n FROM inbox WHERE ABS(TIMESTAMPDIFF(MINUTE, applied_at, UTC_TIMESTAMP(3))) < 5'),
    )
    return { created, repeated, refused, kept, deleted, again, listed, filtered: filtered.items, recorded }
  } finally {
    await database.close()
  }
}

function configOf({ port, user, password, database }: PrivateMysql['mysql']) {
  return mysqlEnvironment.parse({
    ...{ MYSQL_PORT: String(port), MYSQL_USER: user, MYSQL_PASSWORD: password, MYSQL_DATABASE: database },
    ...{ MYSQL_POOL_SIZE: '1', MYSQL_RETRY_MOST_MS: '50' },
  })
}

/** With their worst values the server is unusable, which is an outage and not a wrong outcome. */
const LEFT_OUT = new Set(['max_allowed_packet', 'max_session_mem_used', 'max_user_connections'])

here('the outcomes', () => {
  let root: PrivateMysql['mysql']
  let expected: unknown
  beforeAll(async () => {
    server = await privateMysql(join(directory, 'server'), [])
    root = server.mysql
    await migrate(configOf(root), serviceUnderTest().log)
    // Constraints that others may add, and that some variables disable.
    await root.sql(`ALTER TABLE ims.inventory ADD CONSTRAINT rule CHECK (label <> 'forbidden');
      CREATE TABLE ims.orders AS SELECT id AS item FROM ims.inventory LIMIT 0;
      ALTER TABLE ims.orders ENGINE = InnoDB, ADD FOREIGN KEY (item) REFERENCES ims.inventory (id)`)
    expected = await outcomesOf(configOf(root), root)
  })
  afterAll(async () => {
    await server?.end()
    rmSync(directory, { recursive: true })
  })

  const same = async (what: string) => {
    const given = await outcomesOf(configOf(root), root).catch((error) => ({ rejected: String(error) }))
    expect({ what, outcomes: given }).toEqual({ what, outcomes: expected })
  }

  it('are as expected with the default variables', () => {
    expect(expected).toMatchObject({
      refused: [{ kind: 'rejected-by-database' }, { kind: 'created' }, { kind: 'rejected-by-database' }],
      kept: [{ kind: 'rejected-by-database' }],
      again: [
        { kind: 'deleted', repeated: true },
        { kind: 'unknown-sku', repeated: false },
      ],
      listed: [
        { sku: 'K0', name: 'smile 😀' },
        { sku: 'K1', name: "it's \\ here" },
        { sku: 'k0 ', name: 'Apple Juice' },
      ],
    })
  })

  it.each([
    'SET NAMES utf8mb3',
    'SET NAMES latin1',
    "SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT,IGNORE_SPACE'",
    "SET sql_mode = ''",
    'SET autocommit = 0',
    'SET sql_select_limit = 1, sql_safe_updates = 1',
    "SET time_zone = '+13:00', completion_type = 'CHAIN'",
    'SET completion_type = 2, unique_checks = 0, foreign_key_checks = 0',
    "SET character_set_results = NULL, collation_connection = 'utf8mb4_general_ci'",
    'SET SESSION TRANSACTION READ ONLY',
    'SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED',
    'START TRANSACTION',
  ])('are the same with init_connect = %s', async (statements) => {
    await root.sql(`SET GLOBAL init_connect = "${statements}"`)
    try {
      await same(statements)
    } finally {
      await root.sql("SET GLOBAL init_connect = ''")
    }
  })

  it('are the same with nearly all session variables of the server at each of their worst values', async () => {
    const rows = await root.sql(`
      SELECT VARIABLE_NAME, VARIABLE_TYPE, GLOBAL_VALUE, NUMERIC_MIN_VALUE, NUMERIC_MAX_VALUE, ENUM_VALUE_LIST
      FROM information_schema.SYSTEM_VARIABLES
      WHERE VARIABLE_SCOPE = 'SESSION' AND GLOBAL_VALUE IS NOT NULL AND READ_ONLY = 'NO' ORDER BY 1`)
    const variables = rows
      .split('\n')
      .filter(Boolean)
      .map((row) => row.split('\t'))
      .map(([name = '', type = '', value = '', min = '0', max = '0', options = '']) => ({
        name: name.toLowerCase(),
        before: /^-?[\d.]+$/.test(value) ? value : `'${value}'`,
        worst: worstOf(name, type, value, [min, max], options),
      }))
      .filter(({ name }) => !LEFT_OUT.has(name))
    expect(variables.length).toBeGreaterThan(150)
    type Some = typeof variables
    // A value that root cannot set is skipped, because an operator cannot set it either.
    const setAll = async (values: readonly (readonly [string, string | undefined])[]) => {
      const statements = values.map(([name, value]) => `SET GLOBAL ${name} = ${value};`).join('\n')
      await root.sql(
        `SET SESSION sql_mode = '';\nDELIMITER //\nBEGIN NOT ATOMIC DECLARE CONTINUE HANDLER FOR SQLEXCEPTION BEGIN END;\n${statements}\nEND//\nDELIMITER ;`,
      )
    }
    const differences = async (some: Some, round: number): Promise<unknown[]> => {
      await setAll(some.map(({ name, worst }) => [name, worst[round % worst.length]]))
      const given = await outcomesOf(configOf(root), root).catch((error) => ({ rejected: String(error) }))
      await setAll(some.map(({ name, before }) => [name, before]))
      if (JSON.stringify(given) === JSON.stringify(expected)) return []
      const [only] = some
      if (some.length === 1 && only) return [{ name: only.name, value: only.worst[round % only.worst.length], given }]
      const middle = some.length >> 1
      return [...(await differences(some.slice(0, middle), round)), ...(await differences(some.slice(middle), round))]
    }
    const some = variables.filter(({ worst }) => worst.length > 0)
    const rounds = Math.max(...some.map(({ worst }) => worst.length))
    const different: unknown[] = []
    for (let round = 0; round < rounds; round += 1) different.push(...(await differences(some, round)))
    expect(different).toEqual([])
  })
})

/** The values of a variable that differ most from its current one. */
function worstOf(name: string, type: string, value: string, range: readonly string[], options: string): string[] {
  const quoted = (text: string) => `'${text}'`
  // With a limit of 0 nothing can be read, not even the version that TypeORM queries.
  if (/^sql_select_limit$/i.test(name)) return ['1']
  if (type === 'BOOLEAN') return [value === 'ON' ? '0' : '1']
  if (type === 'ENUM')
    return options
      .split(',')
      .filter((option) => option !== value)
      .map(quoted)
  if (type === 'SET' || type === 'FLAGSET') return ["''", ...options.split(',').map(quoted)]
  // Without buffers the server is unusable, which is an outage.
  if (/size|space|buffer/i.test(name)) return range.slice(1).filter((each) => each !== value)
  if (/INT|DOUBLE/.test(type)) return range.filter((each) => each !== value)
  return ["''"]
}
