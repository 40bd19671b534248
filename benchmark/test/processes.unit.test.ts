// When a process of the benchmark exits unexpectedly, the measurement fails at once.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { Processes, until } from '../src/processes.ts'

const TEST_TIMEOUT_MS = 30_000

describe('Processes', () => {
  let root: string
  let processes: Processes
  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), 'ims-bench-test-'))
  })
  afterAll(() => rmSync(root, { recursive: true, force: true }))
  beforeEach(() => {
    processes = new Processes()
  })
  afterEach(() => processes.endAll())

  const program = (source: string, env = {}) => {
    writeFileSync(join(root, 'program.mjs'), source)
    return { file: 'program.mjs', root, env }
  }
  const WAITS = "process.stdout.write('up\\n'); setInterval(() => {}, 1_000)"

  it(
    'rejects `failed` and a pending line() when a process exits by itself',
    async () => {
      const waiting = processes.start(program('setTimeout(() => process.exit(3), 200)')).line()
      await expect(waiting).rejects.toThrow('program.mjs ended with exit code 3 while it was needed')
      await expect(processes.failed).rejects.toThrow('exit code 3')
    },
    TEST_TIMEOUT_MS,
  )

  it(
    'rejects line() when a process is killed',
    async () => {
      const running = processes.start(program(WAITS))
      expect(await running.line()).toBe('up')
      process.kill(running.pid, 'SIGKILL')
      await expect(running.line()).rejects.toThrow('program.mjs ended with SIGKILL')
    },
    TEST_TIMEOUT_MS,
  )

  it(
    'rejects `failed` when a process exits because its port is in use',
    async () => {
      const stranger = createServer()
      await new Promise<void>((resolve) => stranger.listen(0, '127.0.0.1', resolve))
      const address = stranger.address()
      const PORT = String(typeof address === 'object' ? address?.port : '')
      const listens = `import { createServer } from 'node:net'
        createServer().on('error', () => process.exit(70)).listen(Number(process.env.PORT), '127.0.0.1')`
      processes.start(program(listens, { PORT }))
      await expect(processes.failed).rejects.toThrow('exit code 70')
      stranger.close()
    },
    TEST_TIMEOUT_MS,
  )

  it(
    'does not reject `failed` when a process is stopped with end()',
    async () => {
      const running = processes.start(program(WAITS))
      await running.line()
      await running.end()
      await expect(Promise.race([processes.failed, Promise.resolve('none')])).resolves.toBe('none')
    },
    TEST_TIMEOUT_MS,
  )

  it(
    'returns the output of a program that exits with 0, and rejects for another exit code',
    async () => {
      expect(await processes.run(program("console.log('{}')"))).toBe('{}\n')
      await expect(processes.run(program('process.exit(2)'))).rejects.toThrow('program.mjs ended with exit code 2')
    },
    TEST_TIMEOUT_MS,
  )

  it('has a helper `until` that names the condition that was not met in time', async () => {
    await expect(until('nothing', async () => false, 1, 0.02)).rejects.toThrow('nothing: not within 0.02 s')
  })
})
