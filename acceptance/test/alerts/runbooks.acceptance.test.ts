// Runs the runbooks' first commands for the platform `local` on a suite started by `npm run up`. Each succeeds and prints something.
import { spawn } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, expect, it } from '@jest/globals'
import { eventually, hasServerPrograms, ownSuite } from 'testkit'
import { call, item } from '../http.ts'
import { ROOT } from '../stack.ts'
import { commands } from './runbooks.ts'

const MINUTE_MS = 60_000
const FIRST_ADMIN_PORT = 9_090
const local = new Set(commands.flatMap(([platform, command]) => (platform === 'local' ? [command] : [])))
const root = join(tmpdir(), `ims-runbooks-${process.pid}`)
// Created in a hook. When all tests are skipped, no hook runs, so `afterAll` would not delete a directory created here.
beforeAll(() => void mkdirSync(root, { mode: 0o700 }))
const directory = join(root, 'up')
let environment: NodeJS.ProcessEnv = {}

async function shell(command: string): Promise<{ code: number | null; output: string }> {
  const child = spawn('bash', ['-c', `${command} 2>&1`], {
    cwd: ROOT,
    env: environment,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  return { output: await text(child.stdout), code: await ended }
}

/** Replaces the default directory and ports in a command with those of this suite. */
const here = (command: string): string =>
  command
    .replaceAll('.local/up', directory)
    .replaceAll('127.0.0.1:5000', `127.0.0.1:${environment.PORT}`)
    .replaceAll(
      /127\.0\.0\.1:(909\d)/g,
      (_, port) => `127.0.0.1:${Number(environment.ADMIN_PORT_BASE) + Number(port) - FIRST_ADMIN_PORT}`,
    )
    // Without this option, curl exits with 0 even if the server responds with an error.
    .replaceAll(/^curl /g, 'curl --fail-with-body ')

const when = hasServerPrograms() ? it : it.skip

beforeAll(async () => {
  if (!hasServerPrograms()) return
  environment = await ownSuite(directory)
  const { code, output } = await shell('npm run up -- --detach')
  expect([code, output]).toEqual([0, expect.stringContaining('The suite is up.')])
  // The second create is a duplicate and becomes a dead letter, so that the commands have one to show.
  for (const prefer of ['wait=30', 'respond-async']) {
    const answered = await call(`http://127.0.0.1:${environment.PORT}/create_item`, {
      json: item(1),
      headers: { Prefer: prefer },
    })
    expect(answered.status).toBeLessThan(300)
  }
  await eventually(
    async () => expect((await shell('npm run dead-letters -- list')).output).toContain('duplicate-sku'),
    3 * MINUTE_MS,
  )
}, 4 * MINUTE_MS)

afterAll(async () => {
  if (environment.PORT !== undefined) await shell('npm run down -- --volumes')
  rmSync(root, { recursive: true, force: true })
}, 3 * MINUTE_MS)

when.each([...local])(
  'the command succeeds and prints something: %s',
  async (command) => {
    const { code, output } = await shell(here(command))
    expect([code, output]).toEqual([0, expect.stringMatching(/\S/)])
  },
  3 * MINUTE_MS,
)
