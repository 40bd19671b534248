// Faults of the services' database account: locked, password expired, a privilege revoked, another authentication plugin.
import mysql, { type Connection, type RowDataPacket } from 'mysql2/promise'
import type { World } from '../world.ts'
import { becomesTrue } from './broker.ts'
import type { Fault, Scene } from './fault.ts'

const LOGIN_WITHIN_MS = 3_000

/** Connects to the server directly, with the services' account. Rejects when they could not connect either. */
export async function login({ stack, account }: World): Promise<Connection> {
  const { host, port, database } = stack.space.mysql
  return await mysql.createConnection({ host, port, database, ...account, connectTimeout: LOGIN_WITHIN_MS })
}

/** Reads through a new connection of the services' account. Rejects if it cannot connect or the statement is refused. */
export async function readAsServices(world: World, statement: string): Promise<RowDataPacket[]> {
  const connection = await login(world)
  try {
    return (await connection.query<RowDataPacket[]>(statement))[0]
  } finally {
    connection.destroy()
  }
}

/** Resets all connections of the services to the database, so that they have to open new ones. */
export function cutFromDatabase({ mysql: ways }: World): void {
  for (const way of ways.values()) way.cut()
}

interface Harm {
  readonly note: string
  readonly harm: readonly string[]
  readonly repair: readonly string[]
  /** A statement that the services need. The server refuses it during the fault. */
  readonly needs: string
  /** True if open connections would not be affected. */
  readonly newConnections: boolean
}

function accountFault(kind: string, weight: number, harmOf: (scene: Scene) => Promise<Harm> | Harm): Fault {
  return {
    kind,
    group: 'database',
    weight,
    strike: async (scene) => {
      const { world, random } = scene
      const { sql } = rootOf(world)
      const { note, harm, repair, needs, newConnections } = await harmOf(scene)
      const works = () =>
        readAsServices(world, needs).then(
          () => true,
          () => false,
        )
      for (const statement of harm) await sql(statement)
      if (newConnections) cutFromDatabase(world)
      const refused = !(await works())
      return {
        note,
        lastsMs: random.whole(500, 4_000),
        heal: async () => {
          for (const statement of repair) await sql(statement)
          if (!(await becomesTrue(works))) throw new Error(`${kind}: it was not repaired`)
          return refused
        },
      }
    },
  }
}

function rootOf({ stack, account: { user, password } }: World) {
  const { mysql: server } = stack.servers
  return {
    sql: (statement: string) => server.sql(statement),
    isMariadb: /mariadb/i.test(server.version),
    who: `'${user}'@'%'`,
    password,
    database: stack.space.mysql.database,
  }
}

const locked = accountFault('database account locked', 4, ({ world }) => {
  const { who } = rootOf(world)
  return {
    note: '',
    harm: [`ALTER USER ${who} ACCOUNT LOCK`],
    repair: [`ALTER USER ${who} ACCOUNT UNLOCK`],
    needs: 'SELECT 1',
    newConnections: true,
  }
})

const passwordExpired = accountFault('database password expired', 4, ({ world }) => {
  const { who, password } = rootOf(world)
  return {
    note: '',
    harm: [`ALTER USER ${who} PASSWORD EXPIRE`],
    repair: [`ALTER USER ${who} IDENTIFIED BY '${password}'`],
    needs: 'SELECT 1',
    newConnections: true,
  }
})

const RIGHTS = [
  { right: 'INSERT', table: 'inventory', needs: 'INSERT INTO inventory (sku) SELECT sku FROM inventory WHERE FALSE' },
  { right: 'DELETE', table: 'inventory', needs: 'DELETE FROM inventory WHERE FALSE' },
  { right: 'SELECT', table: 'inventory', needs: 'SELECT sku FROM inventory LIMIT 0' },
  { right: 'SELECT', table: 'inbox', needs: 'SELECT queue FROM inbox LIMIT 0' },
  { right: 'INSERT', table: 'movement', needs: 'INSERT INTO movement SELECT * FROM movement WHERE FALSE' },
  { right: 'INSERT', table: 'inbox', needs: 'INSERT INTO inbox SELECT * FROM inbox WHERE FALSE' },
] as const

const rightRevoked = accountFault('database right revoked', 6, ({ world, random }) => {
  const { who, database } = rootOf(world)
  const { right, table, needs } = random.pick(RIGHTS)
  return {
    note: `${right} on ${table}`,
    harm: [`REVOKE ${right} ON \`${database}\`.${table} FROM ${who}`],
    repair: [`GRANT ${right} ON \`${database}\`.${table} TO ${who}`],
    needs,
    newConnections: false,
  }
})

/** The driver does not support ed25519, which is an error without a number; mysql_no_login is refused with a number. */
const pluginChanged = accountFault('database authentication plugin changed', 4, async ({ world }) => {
  const { sql, isMariadb, who, password } = rootOf(world)
  const [name, library] = isMariadb ? ['ed25519', 'auth_ed25519'] : ['mysql_no_login', 'mysql_no_login.so']
  // An earlier fault may have installed it.
  await sql(`INSTALL PLUGIN ${name} SONAME '${library}'`).catch(() => {})
  return {
    note: name,
    harm: [
      isMariadb
        ? `ALTER USER ${who} IDENTIFIED VIA ${name} USING PASSWORD('${password}')`
        : `ALTER USER ${who} IDENTIFIED WITH ${name}`,
    ],
    repair: [`ALTER USER ${who} IDENTIFIED ${isMariadb ? '' : 'WITH caching_sha2_password '}BY '${password}'`],
    needs: 'SELECT 1',
    newConnections: true,
  }
})

export const accountFaults: readonly Fault[] = [locked, passwordExpired, rightRevoked, pluginChanged]
