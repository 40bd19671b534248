// The first command in a clone. The tests use a small clone, and an `npm` that only records its calls.
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, it } from '@jest/globals'

const BOOTSTRAP = join(import.meta.dirname, '..', 'bootstrap.mjs')
const packages = {
  '': {},
  service: {},
  'node_modules/library': { version: '1.0.0', resolved: 'r', integrity: 'i' },
  'node_modules/other-system': { version: '1.0.0', resolved: 'r', integrity: 'i', optional: true },
  'service/node_modules/library': { version: '2.0.0', resolved: 'r', integrity: 'i' },
}

let clone = ''
const at = (...path: string[]) => join(clone, ...path)
const write = (path: string, text: string) => {
  mkdirSync(dirname(at(path)), { recursive: true })
  writeFileSync(at(path), text)
}

beforeEach(() => {
  clone = mkdtempSync(join(tmpdir(), 'ims-bootstrap-'))
  mkdirSync(at('up'))
  copyFileSync(BOOTSTRAP, at('up', 'bootstrap.mjs'))
  write('package-lock.json', JSON.stringify({ packages }))
  write(
    'up/src/main.ts',
    "console.log('main', process.argv.slice(2).join(' '), process.env.NO_PROXY, process.env.no_proxy)",
  )
  write('bin/npm', '#!/bin/sh\ntouch npm-was-called\n')
  chmodSync(at('bin', 'npm'), 0o755)
})
afterEach(() => rmSync(clone, { recursive: true }))

/** Creates the files that `npm ci` would create. */
function install(): void {
  const { 'node_modules/other-system': _, ...installed } = packages
  write('node_modules/.package-lock.json', JSON.stringify({ packages: installed }))
  for (const place of ['node_modules/library', 'service/node_modules/library'])
    mkdirSync(at(place), { recursive: true })
  mkdirSync(at('node_modules', '.bin'))
  symlinkSync(process.execPath, at('node_modules', '.bin', 'node'))
}

function run(args: string[], env: Record<string, string> = {}) {
  const PATH = `${at('bin')}:${dirname(process.execPath)}:/usr/bin:/bin`
  const { status, stdout, stderr } = spawnSync(process.execPath, [at('up', 'bootstrap.mjs'), ...args], {
    env: { PATH, ...env },
    encoding: 'utf8',
  })
  return { status, stdout, stderr, installed: existsSync(at('npm-was-called')) }
}

it('runs the command without an installation when all packages are installed', () => {
  install()
  expect(run(['check', 'words'])).toMatchObject({
    status: 0,
    stdout: expect.stringContaining('main check words'),
    installed: false,
  })
})

it.each(['service/node_modules', 'node_modules/library'])('installs when the folder %s is missing', (folder) => {
  install()
  expect(run(['check']).installed).toBe(false)
  rmSync(at(folder), { recursive: true })
  expect(run(['check']).installed).toBe(true)
})

it.each([
  ['status', 3],
  ['down', 0],
])('runs %s without an installation in a fresh clone, and with one if a suite was ever started', (command, status) => {
  expect(run([command])).toMatchObject({
    status,
    stdout: expect.stringContaining('Nothing is running'),
    installed: false,
  })
  mkdirSync(at('.local', 'up'), { recursive: true })
  expect(run([command]).installed).toBe(true)
})

it('prints the path of a folder that it cannot create, without a stack trace', () => {
  write('.local', 'a file')
  const { status, stderr } = run(['up'])
  expect(status).toBe(73)
  expect(stderr).toContain(at('.local'))
  expect(stderr).not.toContain(' at ')
})

it('excludes this machine and HTTP_HOST from the proxies of the environment', () => {
  install()
  const { stdout } = run(['status'], {
    HTTP_PROXY: 'http://proxy:3128',
    no_proxy: 'inside.example',
    HTTP_HOST: '10.0.0.7',
  })
  const hosts = 'inside.example,127.0.0.1,localhost,::1,[::1],10.0.0.7'
  expect(stdout).toBe(`main status ${hosts} ${hosts}\n`)
})

it('installs when a killed process has left the lock empty, or with the pid that this process has now', () => {
  write('.local/install.pid', '')
  utimesSync(at('.local', 'install.pid'), 0, 0)
  expect(run(['check']).installed).toBe(true)
  rmSync(at('npm-was-called'))
  // The shell writes its own pid, and node gets the same pid.
  const script = 'printf %s "$$" > "$1/.local/install.pid"; exec "$2" "$1/up/bootstrap.mjs" check'
  const PATH = `${at('bin')}:${dirname(process.execPath)}:/usr/bin:/bin`
  spawnSync('sh', ['-c', script, 'sh', clone, process.execPath], {
    env: { PATH },
    encoding: 'utf8',
    timeout: 10_000,
  })
  expect(existsSync(at('npm-was-called'))).toBe(true)
})
