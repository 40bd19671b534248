// The containers in which `npm test` runs its servers: only on loopback, controllable from any process, removed by `close`.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { attachServers, type Servers, startServers } from 'testkit'
import { docker } from './compose.ts'

const MINUTE_MS = 60_000

let directory: string
let servers: Servers
const start = () => startServers({ directory, mode: 'docker', lifetime: 'process', onProgress: () => {} })
const ours = async () =>
  (await docker('ps', '--all', '--format', '{{.Names}} {{.Ports}}'))
    .split('\n')
    .filter((line) => line.includes(`:${servers.rabbitmq.port}->`) || line.includes(`:${servers.mysql.port}->`))

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'ims-docker-servers-'))
  servers = await start()
}, 5 * MINUTE_MS)
afterAll(async () => {
  await servers.close({ deleteData: true })
  rmSync(directory, { recursive: true, force: true })
}, MINUTE_MS)

describe('servers as containers', () => {
  it('are published on loopback only', async () => {
    const lines = await ours()
    expect(lines).toHaveLength(2)
    for (const line of lines) expect(line).not.toMatch(/0\.0\.0\.0:\d|\[::\]:\d/)
    for (const line of lines) expect(line).toMatch(/127\.0\.0\.1:\d+->/)
  })

  it('use quorum queues by default', async () => {
    expect(
      await servers.rabbitmq.ctl('--silent', 'eval', 'application:get_env(rabbit, default_queue_type).'),
    ).toContain('quorum')
  })

  it(
    'keep the data of MySQL when it is stopped, killed and started again, also through attachServers',
    async () => {
      await servers.mysql.sql('CREATE TABLE ims.kept (id INT); INSERT INTO ims.kept VALUES (7)')
      await servers.mysql.stop()
      const attached = await attachServers(directory)
      await attached.mysql.start()
      await attached.mysql.kill()
      await attached.mysql.start()
      expect((await attached.mysql.sql('SELECT id FROM ims.kept')).trim()).toBe('7')
    },
    3 * MINUTE_MS,
  )

  it(
    'are reused by a second start',
    async () => {
      const again = await start()
      expect(again.rabbitmq.port).toBe(servers.rabbitmq.port)
      expect(await ours()).toHaveLength(2)
    },
    MINUTE_MS,
  )

  it(
    'are removed with their data by close',
    async () => {
      await servers.close({ deleteData: true })
      expect(await ours()).toEqual([])
      servers = await start()
      expect(await servers.mysql.sql("SHOW TABLES FROM ims LIKE 'kept'")).toBe('')
    },
    3 * MINUTE_MS,
  )
})
