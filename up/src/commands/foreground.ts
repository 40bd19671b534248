// Runs a program on our terminal and forwards our signals to it.
import { spawn } from 'node:child_process'
import { constants } from 'node:os'

const PASSED_ON = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
const KILLED_BY_SIGNAL = 128

/** Resolves with its exit code, or 128 + the number of the signal that killed it. Rejects when it cannot be started. */
export function runInForeground(program: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { env, stdio: 'inherit' })
    const handlers = PASSED_ON.map((signal) => {
      const handler = () => {
        child.kill(signal)
      }
      process.on(signal, handler)
      return { signal, handler }
    })
    const forget = () => {
      for (const { signal, handler } of handlers) process.off(signal, handler)
    }
    child.once('error', (error) => {
      forget()
      reject(error)
    })
    child.once('exit', (code, signal) => {
      forget()
      resolve(code ?? KILLED_BY_SIGNAL + (signal === null ? 0 : constants.signals[signal]))
    })
  })
}
