// A test space: one vhost and one database for one test file.
import { randomBytes } from 'node:crypto'
import { newVhost } from './definitions.ts'
import type { Mysql, Rabbitmq, Servers } from './servers.ts'

const ID_BYTES = 4
const NAME_MAX_LENGTH = 40

type RabbitmqAccess = Pick<Rabbitmq, 'host' | 'port' | 'username' | 'password' | 'vhost' | 'version'>
type MysqlAccess = Pick<Mysql, 'host' | 'port' | 'user' | 'password' | 'database' | 'version'>

export interface TestSpace {
  readonly rabbitmq: RabbitmqAccess
  readonly mysql: MysqlAccess
  /** Deletes the vhost and the database with their contents. */
  drop(): Promise<void>
}

/** Creates an empty vhost with the suite's policies, and an empty database. Rejects when the servers are external. */
export async function testSpace(servers: Servers, name: string): Promise<TestSpace> {
  const words = name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '_')
    .slice(0, NAME_MAX_LENGTH)
  const id = `ims_${words}_${randomBytes(ID_BYTES).toString('hex')}`
  const { rabbitmq, mysql } = servers
  await Promise.all([
    rabbitmq.importDefinitions(newVhost(id, rabbitmq.username, rabbitmq.version)),
    mysql.sql(`CREATE DATABASE \`${id}\` CHARACTER SET utf8mb4`),
  ])
  return {
    rabbitmq: {
      host: rabbitmq.host,
      port: rabbitmq.port,
      username: rabbitmq.username,
      password: rabbitmq.password,
      vhost: id,
      version: rabbitmq.version,
    },
    mysql: {
      host: mysql.host,
      port: mysql.port,
      user: mysql.user,
      password: mysql.password,
      database: id,
      version: mysql.version,
    },
    drop: async () => {
      await Promise.all([rabbitmq.ctl('delete_vhost', id), mysql.sql(`DROP DATABASE IF EXISTS \`${id}\``)])
    },
  }
}
