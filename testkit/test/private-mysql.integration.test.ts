// A private MySQL in a folder whose path is too long for a socket. Other users of the machine must not get access.
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { run } from '../src/servers/command.ts'
import { hasServerPrograms, type PrivateMysql, privateMysql } from '../src/servers/private-mysql.ts'
import { foundPrograms } from '../src/servers/programs.ts'

const here = hasServerPrograms() ? describe : describe.skip
here('a private MySQL', () => {
  const top = join(tmpdir(), `ims-private-mysql-${process.pid}`)
  // Create it in a hook: if all tests are skipped, no hook deletes a folder that was created outside.
  beforeAll(() => void mkdirSync(top, { mode: 0o700 }))
  const directory = join(top, 'long'.repeat(30))
  // An earlier version created the socket in this folder. Its name can be predicted from the directory.
  const digest = createHash('sha256')
    .update(join(directory, 'mysql', 'socket'))
    .digest('hex')
    .slice(0, 16)
  const predictable = join(tmpdir(), `ims-mysql-${userInfo().uid}-${digest}`)
  let server: PrivateMysql
  let socket: string
  beforeAll(async () => {
    mkdirSync(directory, { recursive: true })
    mkdirSync(predictable)
    chmodSync(predictable, 0o777)
    server = await privateMysql(directory, [])
    socket = (await server.mysql.sql('SELECT @@socket')).trim()
  })
  afterAll(async () => {
    await server?.end()
    for (const folder of [top, predictable]) rmSync(folder, { recursive: true })
  })

  it('puts its socket in a folder that only its user can enter, not in one with a predictable name', () => {
    expect(dirname(socket)).not.toBe(predictable)
    expect(readdirSync(predictable)).toEqual([])
    const { mode, uid } = lstatSync(dirname(socket))
    expect({ mode: mode & 0o777, uid }).toEqual({ mode: 0o700, uid: userInfo().uid })
  })

  it('does not use a folder that other users can enter', async () => {
    chmodSync(dirname(socket), 0o755)
    await expect(server.mysql.sql('SELECT 1')).rejects.toThrow('other users can enter it')
    chmodSync(dirname(socket), 0o700)
    expect(await server.mysql.sql('SELECT 1')).toBe('1\n')
  })

  it('requires a password for connections over its socket', async () => {
    for (const user of ['root', 'somebody']) {
      const args = ['--no-defaults', `--socket=${socket}`, `--user=${user}`, '--execute=SELECT 1']
      await expect(run(foundPrograms().mysqlClient, args)).rejects.toThrow(/denied/i)
    }
  })

  it('restricts the files of SQL statements to its own folder, which is empty', async () => {
    const folder = (await server.mysql.sql('SELECT @@secure_file_priv')).trim()
    expect(realpathSync(folder)).toBe(realpathSync(join(directory, 'mysql', 'files')))
    expect(readdirSync(folder)).toEqual([])
    const elsewhere = join(directory, 'written')
    await expect(server.mysql.sql(`SELECT 1 INTO OUTFILE '${elsewhere}'`)).rejects.toThrow(/secure.file.priv/)
    expect(existsSync(elsewhere)).toBe(false)
  })

  it('deletes the folder of its socket when it stops, and creates another when it starts again', async () => {
    await server.end()
    expect(existsSync(dirname(socket))).toBe(false)
    await server.mysql.start()
    const next = (await server.mysql.sql('SELECT @@socket')).trim()
    expect(dirname(next)).not.toBe(dirname(socket))
  })
})
