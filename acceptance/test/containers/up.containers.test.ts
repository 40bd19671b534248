// `npm run up` on a Docker engine starts the compose project, shows its status as text and JSON, and stops it.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { eventually, start } from 'testkit'
import { call } from '../http.ts'
import { ROOT } from '../stack.ts'
import { containers, environment, http, ran, removeAll } from './compose.ts'

const MINUTE_MS = 60_000
const ims = (...args: string[]) => ran(process.execPath, 'up/src/main.ts', ...args)

// `npm run up` builds images, so it must not overwrite the tag of the images under test.
environment.IMS_TAG = 'test'

beforeAll(async () => {
  await removeAll()
}, 2 * MINUTE_MS)
afterAll(async () => {
  await removeAll()
}, 2 * MINUTE_MS)

describe('npm run up, with a Docker engine', () => {
  it(
    'starts the compose project, shows addresses and status, and stops it',
    async () => {
      expect(await ims('status')).toMatchObject({ code: 3, output: expect.stringContaining('nothing is running') })
      const { code, output } = await ims('up', '--detach')
      expect({ code, output }).toMatchObject({ code: 0, output: expect.stringContaining('The suite is up.') })
      expect(output).toContain(http)
      expect(await call(`${http}/healthcheck`)).toMatchObject({ status: 200 })
      const status = await ims('status', '--json')
      expect(status.code).toBe(0)
      expect(JSON.parse(status.output)).toMatchObject({
        http,
        services: expect.arrayContaining([expect.objectContaining({ service: 'producer', state: 'healthy' })]),
      })
      await ran('docker', 'compose', 'stop', 'consumer_two')
      expect(await ims('status')).toMatchObject({ code: 4, output: expect.stringMatching(/consumer_two-1 +exited/) })
      expect(await ims('down', '--volumes')).toMatchObject({ code: 0 })
      expect((await ims('status')).code).toBe(3)
    },
    10 * MINUTE_MS,
  )

  it(
    'stops everything on Ctrl-C in the foreground',
    async () => {
      const command = [process.execPath, 'up/src/main.ts', 'up'] as const
      const { child, ended, out } = start({ command, cwd: ROOT, env: environment })
      await eventually(() => expect(out()).toContain('The suite is up.'), 5 * MINUTE_MS)
      await eventually(async () => {
        await call(`${http}/healthcheck`)
        expect(out()).toContain('health check received')
      })
      child.kill('SIGINT')
      expect(await ended).toMatchObject({ code: 0 })
      expect(out()).toContain('stopped; the data is kept')
      expect(await containers()).toEqual([])
    },
    10 * MINUTE_MS,
  )
})
