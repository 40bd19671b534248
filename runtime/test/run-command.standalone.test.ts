// How a command ends.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, it } from '@jest/globals'

it.each([['SIGTERM', 143] as const, ['SIGINT', 130] as const])(
  'ends at once on %s, even as PID 1, where a signal without a handler is ignored',
  async (signal, code) => {
    const child = spawn(process.execPath, [`${import.meta.dirname}/fixtures/command.ts`], {
      env: { LOG_FORMAT: 'json' },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    try {
      let logged = ''
      for await (const chunk of child.stdout) {
        logged += String(chunk)
        if (logged.includes('"waiting"')) child.kill(signal)
      }
      // A process without a handler has no exit code, because the signal itself ended it.
      const [ended] = child.exitCode === null ? await once(child, 'exit') : [child.exitCode]
      expect(ended).toBe(code)
      expect(logged).toContain('ended by a signal before it was done: run it again')
    } finally {
      child.kill('SIGKILL')
    }
  },
)
