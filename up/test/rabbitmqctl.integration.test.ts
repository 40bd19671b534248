// `npm run rabbitmqctl` runs only on the broker of the running suite.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from '@jest/globals'
import { identify } from 'testkit/processes/process-identity'
import { serversUnderTest } from 'testkit/under-test'
import { writeState } from '../src/suite/state.ts'

const MAIN = join(import.meta.dirname, '..', 'src', 'main.ts')

it('fails with a message when no suite runs, and when the servers of the suite are external', async () => {
  const { space } = await serversUnderTest('rabbitmqctl')
  const directory = mkdtempSync(join(tmpdir(), 'ims-rabbitmqctl-'))
  const env = { ...process.env, NODE_OPTIONS: '', IMS_UP_DIRECTORY: directory, IMS_SERVICES: 'local' }
  const run = () => spawnSync(process.execPath, [MAIN, 'rabbitmqctl', 'list_queues'], { env, encoding: 'utf8' })
  const refused = { status: 69, stderr: expect.stringContaining('no broker of this suite is running') }
  try {
    expect(run()).toMatchObject(refused)
    const supervisor = identify(process.pid)
    if (supervisor === undefined) throw new Error('this process runs')
    const { rabbitmq, mysql } = space
    const suite = { phase: 'up', mode: 'external', http: 'http://127.0.0.1:5000' } as const
    writeState(directory, { ...suite, supervisor, rabbitmq, mysql, servers: [], services: [] })
    expect(run()).toMatchObject(refused)
  } finally {
    rmSync(directory, { recursive: true })
    await space.drop()
  }
})
