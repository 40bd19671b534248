// RabbitMQ and MySQL as Docker containers, on loopback ports only.
import { createHash, randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { controlOf, isRunning, removeContainer, runInContainer } from './container.ts'
import { policiesFor } from './definitions.ts'
import { freePorts } from './free-ports.ts'
import { mysqlVersion, rabbitmqVersion } from './handshake.ts'
import { keptIn } from './kept.ts'
import type { OnProgress, Servers } from './servers.ts'
import { type DockerState, readState, writeState } from './state.ts'

const HOST = '127.0.0.1'
const VHOST = '/'
const RABBITMQ_IMAGE = 'rabbitmq:4.3-management'
const MYSQL_IMAGE = 'mysql:8.4'
const SECRET_BYTES = 18
// Imports from a file, because rabbitmqctl of RabbitMQ 4.3 fails when it reads from standard input.
const IMPORT =
  'f=$(mktemp) && cat >"$f" && rabbitmqctl --quiet import_definitions "$f" </dev/null; s=$?; rm -f "$f"; exit $s'
const SETTINGS = 'rabbitmq.conf'

/** Starts both containers of `directory`, or uses the running ones. makeContainer describes `lifetime`. */
export async function startDocker(
  directory: string,
  lifetime: 'process' | 'kept',
  onProgress: OnProgress,
): Promise<Servers> {
  if (readState(directory) === undefined) writeState(directory, await firstState(directory))
  const { rabbitmq, mysql } = keptIn(directory, 'docker')
  writeFileSync(join(directory, SETTINGS), 'default_queue_type = quorum\n', { mode: 0o644 })
  // The import is dynamic, because testcontainers loads slowly, and most commands start no container.
  const { makeContainer } = await import('./make-container.ts')
  // Makes one container after the other, so that testcontainers starts only one reaper.
  await makeContainer(rabbitmqRecipe(directory, rabbitmq.get()), lifetime, onProgress)
  await makeContainer(mysqlRecipe(mysql.get()), lifetime, onProgress)
  const { rabbitmq: one, mysql: other } = attachDocker(directory)
  const running = await Promise.all([isRunning(rabbitmq.get().container), isRunning(mysql.get().container)])
  if (running.includes(false)) onProgress('starting the containers of RabbitMQ and MySQL')
  await Promise.all([one.start(), other.start()])
  rabbitmq.set({ version: (await rabbitmqVersion(HOST, one.port)) ?? 'unknown' })
  mysql.set({ version: (await mysqlVersion(HOST, other.port)) ?? 'unknown' })
  const servers = attachDocker(directory)
  if (!rabbitmq.get().prepared) {
    await servers.rabbitmq.importDefinitions(policiesFor(VHOST, servers.rabbitmq.version))
    rabbitmq.set({ prepared: true })
  }
  if (!mysql.get().prepared) {
    await servers.mysql.sql(`GRANT ALL PRIVILEGES ON \`ims\\_%\`.* TO '${servers.mysql.user}'@'%'`)
    mysql.set({ prepared: true })
  }
  return servers
}

/** Controls the containers of `directory`, whether they run or not. */
export function attachDocker(directory: string): Servers {
  const state = keptIn(directory, 'docker')
  const rabbitmq = state.rabbitmq.get()
  const mysql = state.mysql.get()
  const { username, password, version } = rabbitmq
  const { user, database, rootPassword } = mysql
  const ofRabbitmq = controlOf(rabbitmq.container, 'RabbitMQ', () => rabbitmqVersion(HOST, rabbitmq.port))
  const ofMysql = controlOf(mysql.container, 'MySQL', () => mysqlVersion(HOST, mysql.port))
  return {
    mode: 'docker',
    rabbitmq: {
      ...{ host: HOST, port: rabbitmq.port, username, password, vhost: VHOST, version },
      ctl: (...args) => runInContainer(rabbitmq.container, ['rabbitmqctl', '--quiet', ...args]),
      importDefinitions: async (json) => {
        await runInContainer(rabbitmq.container, ['sh', '-c', IMPORT], { input: json })
      },
      ...ofRabbitmq,
    },
    mysql: {
      ...{ host: HOST, port: mysql.port, user, password: mysql.password, database, version: mysql.version },
      sql: (statements) =>
        runInContainer(mysql.container, ['mysql', '--user=root', '--batch', '--skip-column-names'], {
          input: statements,
          environment: { MYSQL_PWD: rootPassword },
        }),
      ...ofMysql,
    },
    processes: [],
    close: async ({ deleteData }) => {
      await Promise.all([ofRabbitmq.stop(), ofMysql.stop()])
      if (!deleteData) return
      await Promise.all([removeContainer(rabbitmq.container), removeContainer(mysql.container)])
      await Promise.all(['servers.json', SETTINGS].map((name) => rm(join(directory, name), { force: true })))
    },
  }
}

function rabbitmqRecipe(directory: string, { container, port, username, password }: DockerState['rabbitmq']) {
  return {
    name: container,
    image: RABBITMQ_IMAGE,
    // The host name must not change: the node name contains it, and the data directory contains the node name.
    hostname: 'rabbitmq',
    hostPort: port,
    containerPort: 5672,
    environment: { RABBITMQ_DEFAULT_USER: username, RABBITMQ_DEFAULT_PASS: password },
    args: [],
    file: { from: join(directory, SETTINGS), to: '/etc/rabbitmq/conf.d/20-ims.conf' },
  }
}

function mysqlRecipe({ container, port, user, password, rootPassword, database }: DockerState['mysql']) {
  return {
    name: container,
    image: MYSQL_IMAGE,
    hostname: 'mysql',
    hostPort: port,
    containerPort: 3306,
    environment: {
      MYSQL_ROOT_PASSWORD: rootPassword,
      MYSQL_USER: user,
      MYSQL_PASSWORD: password,
      MYSQL_DATABASE: database,
      MYSQL_INITDB_SKIP_TZINFO: '1',
    },
    args: ['--skip-log-bin', '--skip-name-resolve', '--performance-schema=OFF', '--innodb-buffer-pool-size=128M'],
  }
}

async function firstState(directory: string): Promise<DockerState> {
  const [amqp = 0, mysql = 0] = await freePorts(2)
  const name = `ims-${createHash('sha256').update(directory).digest('hex').slice(0, 10)}`
  const secret = () => randomBytes(SECRET_BYTES).toString('base64url')
  const fresh = { version: 'unknown', prepared: false }
  return {
    mode: 'docker',
    rabbitmq: { container: `${name}-rabbitmq`, port: amqp, username: 'ims', password: secret(), ...fresh },
    mysql: {
      container: `${name}-mysql`,
      port: mysql,
      user: 'ims',
      password: secret(),
      rootPassword: secret(),
      database: 'ims',
      ...fresh,
    },
  }
}
