// Runs a program and returns its output.
import { type Program, start } from '../processes/start.ts'

interface Options extends Omit<Program, 'command'> {
  readonly input?: string
  readonly timeoutMs?: number
}

/** Resolves with the standard output. Rejects, with the output in the message, when the program fails or takes too long. */
export async function run(program: string, args: readonly string[], options: Options = {}): Promise<string> {
  const { input = '', timeoutMs = 120_000, ...where } = options
  const { child, ended, out, err } = start({ command: [program, ...args], stdio: 'pipe', ...where })
  // A program may exit without reading its input. Only its exit code counts, so a broken pipe is ignored.
  child.stdin?.on('error', () => {})
  child.stdin?.end(input)
  let isLate = false
  const timer = setTimeout(() => {
    isLate = true
    child.kill('SIGKILL')
  }, timeoutMs)
  const { code, signal, error } = await ended
  clearTimeout(timer)
  if (code === 0) return out()
  const how = isLate ? `not finished after ${timeoutMs / 1000} s` : (error?.message ?? `exit code ${code ?? signal}`)
  const logged = `${err()}${out()}`.trim()
  throw new Error(`${program} ${args[0] ?? ''}: ${how}${logged === '' ? '' : `\n${logged}`}`, { cause: error })
}

/** True when the program can be run and exits with 0. */
export async function succeeds(program: string, args: readonly string[], timeoutMs: number): Promise<boolean> {
  try {
    await run(program, args, { timeoutMs })
    return true
  } catch {
    return false
  }
}
