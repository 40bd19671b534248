// Private servers: start, control, restart, attach, concurrent start, crash, and several pairs at the same time.
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { attachServers, eventually, type Servers, startServers, testSpace } from '../src/index.ts'
import { isAlive } from '../src/processes/process-identity.ts'
import { processesStartedFor } from '../src/processes/started-for.ts'
import { mysqlVersion, rabbitmqVersion } from '../src/servers/handshake.ts'
import { placeOf } from '../src/servers/place.ts'
import { readState, writeState } from '../src/servers/state.ts'

// The directory of the test run. The run stops all servers below it, even when this file is interrupted.
const PARENT = process.env.IMS_TEST_SERVERS === undefined ? tmpdir() : dirname(process.env.IMS_TEST_SERVERS)

let directory: string
let servers: Servers
const progress: string[] = []
const start = () => startServers({ directory, mode: 'local', onProgress: (text) => progress.push(text) })

beforeAll(async () => {
  directory = mkdtempSync(join(PARENT, 'ims-servers-'))
  servers = await start()
})
afterAll(async () => {
  await servers.close({ deleteData: true })
  rmSync(directory, { recursive: true, force: true })
})

describe('private servers', () => {
  it('keep their passwords in a file that only the owner can read, and not on command lines', () => {
    expect(statSync(directory).mode & 0o777).toBe(0o700)
    expect(statSync(join(directory, 'servers.json')).mode & 0o777).toBe(0o600)
    for (const pid of Object.values(pids())) {
      const commandLine = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
      expect(commandLine).not.toContain(servers.rabbitmq.password)
      expect(commandLine).not.toContain(servers.mysql.password)
    }
  })

  it('listen on loopback only', () => {
    const state = localState()
    for (const port of [
      state.rabbitmq.port,
      state.rabbitmq.distributionPort,
      state.rabbitmq.epmdPort,
      state.mysql.port,
    ]) {
      expect(listeningAddresses(port)).toEqual(new Set(['127.0.0.1']))
    }
  })

  it('have dead-letter policies and only one user in RabbitMQ', async () => {
    const policies = await servers.rabbitmq.ctl('--silent', 'list_policies')
    for (const queue of ['healthcheck', 'create_item', 'stock_management']) {
      expect(policies).toContain(`"dead-letter-routing-key":"${queue}.dead-letter"`)
    }
    expect((await servers.rabbitmq.ctl('--silent', 'list_users')).trim()).toMatch(/^ims\s+\[administrator\]$/)
  })

  it('reject an unknown command with the output of rabbitmqctl', async () => {
    await expect(servers.rabbitmq.ctl('no_such_command')).rejects.toThrow(/no_such_command/)
  })

  it('do not let root connect to MySQL over TCP', async () => {
    const users = await servers.mysql.sql("SELECT user, host FROM mysql.user WHERE user <> 'mariadb.sys'")
    const hosts = users.split('\n').filter((line) => line.startsWith('root\t'))
    expect(hosts).not.toContain('root\t127.0.0.1')
    expect(hosts).not.toContain('root\t%')
    await expect(connectionTo({ ...access(), user: 'root', password: '' })).rejects.toThrow(/denied/i)
  })

  it('let the user create databases with the prefix ims_ only', async () => {
    const connection = await connectionTo(access())
    try {
      await connection.query('CREATE DATABASE ims_of_a_test')
      await connection.query('DROP DATABASE ims_of_a_test')
      await expect(connection.query('CREATE DATABASE imsx')).rejects.toThrow(/denied/i)
      const [rows] = await connection.query('SELECT @@character_set_database c, @@innodb_flush_log_at_trx_commit f')
      expect(rows).toEqual([{ c: 'utf8mb4', f: 1 }])
    } finally {
      await connection.end()
    }
  })

  it('are reused by a second start', async () => {
    const before = pids()
    const again = await start()
    expect(pids()).toEqual(before)
    expect(again.rabbitmq.port).toBe(servers.rabbitmq.port)
  })

  it('start only once when two callers start them at the same time', async () => {
    await servers.close({ deleteData: false })
    const [one, other] = await Promise.all([start(), start()])
    expect(one.rabbitmq.port).toBe(other.rabbitmq.port)
    await eventually(async () => expect(await answering()).toEqual([true, true]))
    expect(progress.some((text) => text.includes('waiting for it'))).toBe(true)
  })

  it.each(['stop', 'kill'] as const)('keep their ports and data after a %s and a restart', async (how) => {
    const attached = await attachServers(directory)
    await attached.mysql.sql(`CREATE TABLE ims.kept_${how} (a INT); INSERT INTO ims.kept_${how} VALUES (7)`)
    await attached.rabbitmq.ctl('add_vhost', `kept-${how}`)
    await Promise.all([attached.rabbitmq[how](), attached.mysql[how]()])
    expect(await answering()).toEqual([false, false])
    await Promise.all([servers.rabbitmq.start(), servers.mysql.start()])
    await eventually(async () => expect(await answering()).toEqual([true, true]))
    expect((await servers.mysql.sql(`SELECT a FROM ims.kept_${how}`)).trim()).toBe('7')
    expect(await servers.rabbitmq.ctl('list_vhosts')).toContain(`kept-${how}`)
  })

  it('start when the state file names processes that no longer exist', async () => {
    await servers.close({ deleteData: false })
    const state = localState()
    const stranger = { pid: process.pid, started: 'at another time' }
    writeState(directory, {
      ...state,
      rabbitmq: { ...state.rabbitmq, process: stranger, epmd: stranger },
      mysql: { ...state.mysql, process: stranger },
    })
    servers = await start()
    await eventually(async () => expect(await answering()).toEqual([true, true]))
  })

  it('report the end of the log when MySQL does not start', async () => {
    await servers.mysql.stop()
    const file = join(directory, 'mysql', 'data', 'ibdata1')
    const content = readFileSync(file)
    writeFileSync(file, 'not what InnoDB expects')
    await expect(servers.mysql.start()).rejects.toThrow(/it has exited\nThe end of .*mysqld\.log:\n.*InnoDB/s)
    writeFileSync(file, content)
    await servers.mysql.start()
  })

  it('run at the same time as another pair of servers', async () => {
    const elsewhere = mkdtempSync(join(PARENT, 'ims-servers-'))
    const others = await startServers({ directory: elsewhere, mode: 'local', onProgress: () => {} })
    expect(others.rabbitmq.port).not.toBe(servers.rabbitmq.port)
    await others.close({ deleteData: true })
    expect(existsSync(join(elsewhere, 'mysql'))).toBe(false)
    await eventually(async () => expect(await answering()).toEqual([true, true]))
    rmSync(elsewhere, { recursive: true })
  })

  it('leave no process running when their start is interrupted', async () => {
    const elsewhere = mkdtempSync(join(PARENT, 'ims-servers-'))
    const processes = () => ['rabbitmq', 'mysql'].flatMap((name) => processesStartedFor(join(placeOf(elsewhere), name)))
    const interruption = new AbortController()
    const { signal: interrupted } = interruption
    const starting = startServers({ directory: elsewhere, mode: 'local', onProgress: () => {}, interrupted })
    const ended = expect(starting).rejects.toThrow('by the test')
    await eventually(() => expect(processes().length).toBeGreaterThan(0))
    interruption.abort(new Error('by the test'))
    await ended
    expect(processes()).toEqual([])
    rmSync(elsewhere, { recursive: true })
  })

  it('leave no process running after close', async () => {
    const state = localState()
    await servers.close({ deleteData: false })
    const all = [state.rabbitmq.process, state.rabbitmq.epmd, state.mysql.process]
    expect(all.map((each) => each !== undefined && isAlive(each))).toEqual([false, false, false])
    servers = await start()
  })
})

describe('a test space', () => {
  it('is a vhost with policies and a database, and is deleted with its contents', async () => {
    const space = await testSpace(servers, 'A Test of: something')
    expect(space.rabbitmq.vhost).toMatch(/^ims_a_test_of_something_[0-9a-f]{8}$/)
    expect(await servers.rabbitmq.ctl('list_policies', '-p', space.rabbitmq.vhost)).toContain('create_item.dead-letter')
    const connection = await connectionTo({ ...access(), database: space.mysql.database })
    await connection.query('CREATE TABLE a (b INT)')
    await connection.end()
    await space.drop()
    expect(await servers.rabbitmq.ctl('list_vhosts')).not.toContain(space.rabbitmq.vhost)
    expect(await servers.mysql.sql('SHOW DATABASES')).not.toContain(space.mysql.database)
  })
})

function localState() {
  const state = readState(directory)
  if (state?.mode !== 'local') throw new Error('not local')
  return state
}

function pids() {
  const { rabbitmq, mysql } = localState()
  return { rabbitmq: rabbitmq.process?.pid, epmd: rabbitmq.epmd?.pid, mysql: mysql.process?.pid }
}

async function answering(): Promise<boolean[]> {
  const { rabbitmq, mysql } = servers
  const versions = await Promise.all([
    rabbitmqVersion(rabbitmq.host, rabbitmq.port),
    mysqlVersion(mysql.host, mysql.port),
  ])
  return versions.map((version) => version !== undefined)
}

function access() {
  const { host, port, user, password, database } = servers.mysql
  return { host, port, user, password, database }
}

async function connectionTo(options: ReturnType<typeof access>) {
  const { createConnection } = await import('mysql2/promise')
  return await createConnection(options)
}

/** The addresses with a listener on `port`, except the IPv6 loopback address, which epmd also uses. */
function listeningAddresses(port: number): Set<string> {
  const hexPort = port.toString(16).toUpperCase().padStart(4, '0')
  const loopback6 = '00000000000000000000000001000000'
  const lines = ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((table) => readFileSync(table, 'utf8').split('\n').slice(1))
  const addresses = lines.flatMap((line) => {
    const [, local = '', , state] = line.trim().split(/\s+/)
    const [address = '', at] = local.split(':')
    return at === hexPort && state === '0A' && address !== loopback6 ? [address] : []
  })
  return new Set(addresses.map((hex) => (hex === '0100007F' ? '127.0.0.1' : hex)))
}
