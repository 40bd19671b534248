// Faults of the services' database account: it is locked, its password expires, it loses a privilege, or it gets another
// authentication plugin.
import mysql, { type Connection, type RowDataPacket } from 'mysql2/promise'
import type { Testbed } from '../testbed.ts'
import { becomesTrue } from './broker.ts'
import type { Fault, Scene } from './fault.ts'

const LOGIN_WITHIN_MS = 3_000

/** Connects to the server without a proxy, with the services' account. Rejects if the server does not accept the connection. */
export async function login({ stack, account }: Testbed): Promise<Connection> {
  const { host, port, database } = stack.space.mysql
  return await mysql.createConnection({ host, port, database, ...account, connectTimeout: LOGIN_WITHIN_MS })
}

/** Runs a query on a new connection of the services' account. Rejects if the connection or the query fails. */
export async function readAsServices(testbed: Testbed, statement: string): Promise<RowDataPacket[]> {
  const connection = await login(testbed)
  try {
    return (await connection.query<RowDataPacket[]>(statement))[0]
  } finally {
    connection.destroy()
  }
}

/** Resets all database connections of the services, so that they must open new ones. */
export function cutFromDatabase({ mysql: proxies }: Testbed): void {
  for (const proxy of proxies.values()) proxy.cut()
}

interface AccountChange {
  readonly note: string
  readonly cause: readonly string[]
  readonly repair: readonly string[]
  /** A statement that the services need. The server refuses it during the fault. */
  readonly needs: string
  /** True if the fault affects only new connections. */
  readonly newConnections: boolean
}

function accountFault(
  kind: string,
  weight: number,
  changeOf: (scene: Scene) => Promise<AccountChange> | AccountChange,
): Fault {
  return {
    kind,
    group: 'database',
    weight,
    inject: async (scene) => {
      const { testbed, random } = scene
      const { sql } = rootOf(testbed)
      const { note, cause, repair, needs, newConnections } = await changeOf(scene)
      const works = () =>
        readAsServices(testbed, needs).then(
          () => true,
          () => false,
        )
      for (const statement of cause) await sql(statement)
      if (newConnections) cutFromDatabase(testbed)
      const refused = !(await works())
      return {
        note,
        lastsMs: random.whole(500, 4_000),
        repair: async () => {
          for (const statement of repair) await sql(statement)
          if (!(await becomesTrue(works))) throw new Error(`${kind}: the repair failed`)
          return refused
        },
      }
    },
  }
}

function rootOf({ stack, account: { user, password } }: Testbed) {
  const { mysql: server } = stack.servers
  return {
    sql: (statement: string) => server.sql(statement),
    isMariadb: /mariadb/i.test(server.version),
    who: `'${user}'@'%'`,
    password,
    database: stack.space.mysql.database,
  }
}

const locked = accountFault('database account locked', 4, ({ testbed }) => {
  const { who } = rootOf(testbed)
  return {
    note: '',
    cause: [`ALTER USER ${who} ACCOUNT LOCK`],
    repair: [`ALTER USER ${who} ACCOUNT UNLOCK`],
    needs: 'SELECT 1',
    newConnections: true,
  }
})

const passwordExpired = accountFault('database password expired', 4, ({ testbed }) => {
  const { who, password } = rootOf(testbed)
  return {
    note: '',
    cause: [`ALTER USER ${who} PASSWORD EXPIRE`],
    repair: [`ALTER USER ${who} IDENTIFIED BY '${password}'`],
    needs: 'SELECT 1',
    newConnections: true,
  }
})

const PRIVILEGES = [
  {
    privilege: 'INSERT',
    table: 'inventory',
    needs: 'INSERT INTO inventory (sku) SELECT sku FROM inventory WHERE FALSE',
  },
  { privilege: 'DELETE', table: 'inventory', needs: 'DELETE FROM inventory WHERE FALSE' },
  { privilege: 'SELECT', table: 'inventory', needs: 'SELECT sku FROM inventory LIMIT 0' },
  { privilege: 'SELECT', table: 'inbox', needs: 'SELECT queue FROM inbox LIMIT 0' },
  { privilege: 'INSERT', table: 'movement', needs: 'INSERT INTO movement SELECT * FROM movement WHERE FALSE' },
  { privilege: 'INSERT', table: 'inbox', needs: 'INSERT INTO inbox SELECT * FROM inbox WHERE FALSE' },
] as const

const privilegeRevoked = accountFault('database privilege revoked', 6, ({ testbed, random }) => {
  const { who, database } = rootOf(testbed)
  const { privilege, table, needs } = random.pick(PRIVILEGES)
  return {
    note: `${privilege} on ${table}`,
    cause: [`REVOKE ${privilege} ON \`${database}\`.${table} FROM ${who}`],
    repair: [`GRANT ${privilege} ON \`${database}\`.${table} TO ${who}`],
    needs,
    newConnections: false,
  }
})

/** On MariaDB, the driver fails without an error number, because it does not support ed25519. On MySQL, the server refuses the login. */
const pluginChanged = accountFault('database authentication plugin changed', 4, async ({ testbed }) => {
  const { sql, isMariadb, who, password } = rootOf(testbed)
  const [name, library] = isMariadb ? ['ed25519', 'auth_ed25519'] : ['mysql_no_login', 'mysql_no_login.so']
  // Fails if an earlier fault has already installed the plugin.
  await sql(`INSTALL PLUGIN ${name} SONAME '${library}'`).catch(() => {})
  return {
    note: name,
    cause: [
      isMariadb
        ? `ALTER USER ${who} IDENTIFIED VIA ${name} USING PASSWORD('${password}')`
        : `ALTER USER ${who} IDENTIFIED WITH ${name}`,
    ],
    repair: [`ALTER USER ${who} IDENTIFIED ${isMariadb ? '' : 'WITH caching_sha2_password '}BY '${password}'`],
    needs: 'SELECT 1',
    newConnections: true,
  }
})

export const accountFaults: readonly Fault[] = [locked, passwordExpired, privilegeRevoked, pluginChanged]
