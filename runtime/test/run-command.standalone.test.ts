// A command handles signals itself, and logs that it was stopped.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, it } from '@jest/globals'

it.each([['SIGTERM', 143] as const, ['SIGINT', 130] as const])(
  'a command exits at once on %s through its own handler, because PID 1 ignores signals without one',
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
      // Without a handler, the signal itself would end the process, and there would be no exit code.
      const [ended] = child.exitCode === null ? await once(child, 'exit') : [child.exitCode]
      expect(ended).toBe(code)
      expect(logged).toContain('stopped by a signal before it had finished: run it again')
    } finally {
      child.kill('SIGKILL')
    }
  },
)
