// Runs one program as one step of a command. Prints a line with its duration, and its output only when it fails.
import { run } from '../servers/command.ts'

export interface Step {
  readonly name: string
  readonly command: readonly [string, ...string[]]
  readonly env?: NodeJS.ProcessEnv
}

/** Longer than any check takes on a slow machine. A test that never ends must not block the command for ever. */
const TIMEOUT_MS = 900_000

/** Resolves with true when the program exits with 0. Prints its result to standard output. */
export async function runStep(
  { name, command: [program, ...args], env = process.env }: Step,
  cwd: string,
): Promise<boolean> {
  const began = performance.now()
  const failure = await run(program, args, { cwd, env, timeoutMs: TIMEOUT_MS }).then(
    () => undefined,
    (error: Error) => error.message,
  )
  const took = `${((performance.now() - began) / 1000).toFixed(1)} s`
  process.stdout.write(failure === undefined ? `✓ ${name} (${took})\n` : `✗ ${name} (${took})\n${failure}\n`)
  return failure === undefined
}
