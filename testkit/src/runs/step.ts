// Runs one program as one step of a command. Prints a line with its duration, and its output only when it fails.
import { spawn } from 'node:child_process'

export interface Step {
  readonly name: string
  readonly command: readonly [string, ...string[]]
  readonly env?: NodeJS.ProcessEnv
}

/** Longer than any check takes on a slow machine. A test that never ends must not block the rest for ever. */
const ENDED_WITHIN_MS = 900_000

/** Resolves with true when the program exits with 0. Prints its result to standard output. */
export async function runStep({ name, command, env }: Step, cwd: string): Promise<boolean> {
  const began = performance.now()
  const [program, ...args] = command
  const { code, output } = await new Promise<{ code: number | null; output: string }>((resolve) => {
    const child = spawn(program, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] })
    const chunks: Buffer[] = []
    const timer = setTimeout(() => {
      chunks.push(Buffer.from(`\nstopped: it did not end within ${ENDED_WITHIN_MS / 1000} s\n`))
      child.kill('SIGKILL')
    }, ENDED_WITHIN_MS)
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.once('error', (error) => resolve({ code: null, output: error.message }))
    child.once('close', (exitCode) => {
      clearTimeout(timer)
      resolve({ code: exitCode, output: Buffer.concat(chunks).toString() })
    })
  })
  const took = `${((performance.now() - began) / 1000).toFixed(1)} s`
  if (code === 0) process.stdout.write(`✓ ${name} (${took})\n`)
  else process.stdout.write(`✗ ${name} (${took})\n${output.trimEnd()}\n`)
  return code === 0
}
