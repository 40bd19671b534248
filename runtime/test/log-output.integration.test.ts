// A service whose output cannot be written. It still responds, drops lines, reports the number of lost lines, and stops on request.
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { freePorts } from 'testkit'
import { z } from 'zod'

const SERVICE = `${import.meta.dirname}/fixtures/service.ts`
const loss = z.object({ level: z.literal('warn'), lines: z.int().positive(), error: z.string() })

let directory = ''
let port = 0
let child: ChildProcess | undefined

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'ims-log-output-'))
  ;[port = 0] = await freePorts(1)
})
afterEach(() => {
  child?.kill('SIGKILL')
  rmSync(directory, { recursive: true })
})

/**
 * Starts the service that logs 1,000 lines a second and writes warnings to standard error. `output` is used for both
 * streams. `shell` is a shell command that starts the service.
 */
function startTalkative(output: number | 'pipe', shell?: string): ChildProcess {
  const [program, ...args] = shell === undefined ? [process.execPath, SERVICE] : ['sh', '-c', shell]
  child = spawn(program ?? '', args, {
    env: { PATH: process.env.PATH, ADMIN_PORT: String(port), FIXTURE_BEHAVIOUR: 'is-talkative' },
    stdio: ['ignore', output, output],
  })
  return child
}

/** Resolves with the number of lost lines so far, once it exceeds `more`. */
async function lost(more = 0): Promise<number> {
  for (;;) {
    const metrics = await fetch(`http://127.0.0.1:${port}/metrics`).then(
      (answer) => answer.text(),
      () => '',
    )
    const lines = Number(/^ims_log_lines_lost_total\{.*\} (\d+)$/m.exec(metrics)?.[1] ?? 0)
    if (lines > more) return lines
    await sleep(50)
  }
}

async function stopped(service: ChildProcess): Promise<number | null> {
  const closed = once(service, 'exit')
  service.kill('SIGTERM')
  return (await closed)[0]
}

const lossIn = (text: string) =>
  text.split('\n').flatMap((line) => {
    try {
      return loss.safeParse(JSON.parse(line)).data ?? []
    } catch {
      // The text is part of a line, or a warning of Node.js.
      return []
    }
  })

async function until<T>(look: () => T | undefined): Promise<T> {
  for (;;) {
    const found = look()
    if (found !== undefined) return found
    await sleep(50)
  }
}

it('the log loses no flushed line when the process is killed', () => {
  const program = `import { createLog, standardOutput } from '${import.meta.dirname}/../src/index.ts'
    const log = createLog('killed', { level: 'info', format: 'json' })
    log.info({}, 'flushed')
    standardOutput().flush()
    log.info({}, 'not flushed')
    process.kill(process.pid, 'SIGKILL')`
  const { stdout, signal } = spawnSync(process.execPath, ['--input-type=module-typescript', '--eval', program], {
    encoding: 'utf8',
  })
  expect([signal, ...stdout.matchAll(/"message":"(.*?)"/g)].map(String)).toEqual([
    'SIGKILL',
    '"message":"flushed",flushed',
  ])
})

describe('a service whose output cannot be written', () => {
  it('responds and stops when the disk is full', async () => {
    const full = openSync('/dev/full', 'w')
    const service = startTalkative(full)
    await lost(await lost())
    expect((await fetch(`http://127.0.0.1:${port}/livez`)).status).toBe(200)
    expect(await stopped(service)).toBe(0)
    closeSync(full)
  })

  it('responds while its pipe is not read, and reports the lost lines when reading resumes', async () => {
    const path = join(directory, 'pipe')
    execFileSync('mkfifo', [path])
    // Opens the pipe for reading, but does not read.
    const pipe = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
    const output = openSync(path, constants.O_WRONLY)
    const service = startTalkative(output)
    await lost()
    // A Node.js process makes a shared descriptor blocking when it exits.
    spawnSync(process.execPath, ['-e', 'process.stdout.isTTY'], { stdio: ['ignore', output, 'ignore'] })
    await lost(await lost())
    expect((await fetch(`http://127.0.0.1:${port}/livez`)).status).toBe(200)
    const chunk = Buffer.alloc(65_536)
    let text = ''
    const read = () => {
      try {
        text += chunk.toString('utf8', 0, readSync(pipe, chunk))
      } catch {
        // There is nothing to read now.
      }
    }
    const reading = setInterval(read, 5)
    await until(() => lossIn(text)[0])
    const code = await stopped(service)
    clearInterval(reading)
    closeSync(pipe)
    closeSync(output)
    expect([code, lossIn(text)[0]]).toEqual([0, expect.objectContaining({ error: 'EAGAIN' })])
  })

  it('responds and stops while its socket is not read', async () => {
    const service = startTalkative('pipe')
    await lost(await lost())
    expect((await fetch(`http://127.0.0.1:${port}/livez`)).status).toBe(200)
    expect(await stopped(service)).toBe(0)
  })

  it('continues its log, with a report of the loss, when its file becomes writable again', async () => {
    const path = join(directory, 'log')
    const service = startTalkative(
      'pipe',
      `ulimit -f 4096; exec "${process.execPath}" "${SERVICE}" >> "${path}" 2>> "${path}"`,
    )
    await lost()
    truncateSync(path)
    const first = await until(() => lossIn(readFileSync(path, 'utf8'))[0])
    expect(first).toMatchObject({ error: 'EFBIG' })
    expect(await stopped(service)).toBe(0)
  })

  it('continues to run and stops on request when the reader of its output has exited', async () => {
    const service = startTalkative('pipe')
    service.stdout?.destroy()
    service.stderr?.destroy()
    await lost()
    expect(await stopped(service)).toBe(0)
  })
})
