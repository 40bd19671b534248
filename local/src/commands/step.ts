// One program as one step of a command: a line with its duration, and its output only when it fails.
import { spawn } from 'node:child_process'

export interface Step {
  readonly name: string
  readonly command: readonly [string, ...string[]]
  readonly env?: NodeJS.ProcessEnv
}

/** Resolves with true when the program exits with 0; says how it went on standard output. */
export async function runStep({ name, command, env = process.env }: Step, cwd: string): Promise<boolean> {
  const began = performance.now()
  const [program, ...args] = command
  const { code, output } = await new Promise<{ code: number | null; output: string }>((resolve) => {
    const child = spawn(program, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] })
    const chunks: Buffer[] = []
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.once('error', (error) => resolve({ code: null, output: error.message }))
    child.once('close', (exitCode) => resolve({ code: exitCode, output: Buffer.concat(chunks).toString() }))
  })
  const took = `${((performance.now() - began) / 1000).toFixed(1)} s`
  if (code === 0) process.stdout.write(`✓ ${name} (${took})\n`)
  else process.stdout.write(`✗ ${name} (${took})\n${output.trimEnd()}\n`)
  return code === 0
}
