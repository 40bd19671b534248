// The installation of server packages: tests never install, and the policy file has no effect after an installation.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { eventually } from '../src/eventually.ts'
import { WITHOUT_SERVICES } from '../src/servers/install.ts'

const ROOT = join(import.meta.dirname, '..', '..')

it('tests do not install packages', () => {
  const files = globSync('{*/test,acceptance}/**/*.ts', { cwd: ROOT, exclude: (path) => path.includes('node_modules') })
  expect(files.length).toBeGreaterThan(200)
  const installs = /(['"`])(apt-get|apt|dpkg)\1|installPackages|installPrograms/
  expect(files.filter((file) => installs.test(readFileSync(join(ROOT, file), 'utf8')))).toEqual([
    'testkit/test/install.unit.test.ts',
  ])
})

describe('the policy file that keeps packages from starting services', () => {
  let directory = ''
  let policy = ''
  const answer = () => spawnSync(policy, ['rabbitmq-server', 'start']).status

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'ims-policy-'))
    policy = join(directory, 'policy-rc.d')
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  const command = (script: string) => ['-c', WITHOUT_SERVICES, 'without-services', policy, 'sh', '-c', script]

  it('forbids the start of services during an installation, and is removed when the installation fails', () => {
    const { status, stdout } = spawnSync('sh', command(`"${policy}"; echo $?; exit 3`), { encoding: 'utf8' })
    expect([stdout, status]).toEqual(['101\n', 3])
    expect(existsSync(policy)).toBe(false)
  })

  it('has no effect after the installation was killed, and deletes itself when it is run', async () => {
    const installing = spawn('sh', command('exec sleep 60'), { detached: true, stdio: 'ignore' })
    await eventually(() => expect(existsSync(policy) && answer()).toBe(101))
    const ended = once(installing, 'exit')
    process.kill(-(installing.pid ?? 0), 'SIGKILL')
    await ended
    expect(existsSync(policy)).toBe(true)
    expect(answer()).toBe(0)
    expect(existsSync(policy)).toBe(false)
  })

  it('is not changed when it already exists', () => {
    writeFileSync(policy, '#!/bin/sh\nexit 101\n')
    chmodSync(policy, 0o755)
    expect(spawnSync('sh', command('exit 0')).status).toBe(0)
    expect(readFileSync(policy, 'utf8')).toBe('#!/bin/sh\nexit 101\n')
  })
})
