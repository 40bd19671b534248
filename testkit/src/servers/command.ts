// Runs a program to its end and returns its output.
import { execFile } from 'node:child_process'

const MOST_OUTPUT_BYTES = 64 * 1024 * 1024

interface Options {
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
  readonly input?: string
  readonly timeoutMs?: number
}

/** Resolves with the standard output. Rejects, with the output in the message, when the program fails or takes too long. */
export function run(program: string, args: readonly string[], options: Options = {}): Promise<string> {
  const { cwd, env = process.env, input, timeoutMs = 120_000 } = options
  return new Promise((resolve, reject) => {
    const limits = { cwd, env, timeout: timeoutMs, maxBuffer: MOST_OUTPUT_BYTES, killSignal: 'SIGKILL' as const }
    const child = execFile(program, args, limits, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout)
      const how = child.killed
        ? `not finished after ${timeoutMs / 1000} s`
        : `exit code ${error.code ?? child.signalCode}`
      const logged = `${stderr}${stdout}`.trim()
      reject(new Error(`${program} ${args[0] ?? ''}: ${how}${logged === '' ? '' : `\n${logged}`}`, { cause: error }))
    })
    // A program may end without reading its input. The exit code decides, not the broken pipe.
    child.stdin?.on('error', () => {})
    child.stdin?.end(input ?? '')
  })
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
