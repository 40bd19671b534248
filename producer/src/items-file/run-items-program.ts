// Runs `import` and `export`: prints the help, and reports an error as one sentence with an exit code.
import { CODE, Stopped } from './exit-codes.ts'

interface Frame {
  readonly args: readonly string[]
  out(text: string): Promise<void>
  err(line: string): void
}

/** Resolves with the exit code. `parse` returns undefined for `--help`. */
export async function runItemsProgram<Request>(
  { args, out, err }: Frame,
  usage: string,
  parse: (args: readonly string[]) => Request | undefined,
  run: (request: Request) => Promise<number>,
): Promise<number> {
  try {
    const request = parse(args)
    if (request !== undefined) return await run(request)
    await out(`${usage}\n`)
    return CODE.done
  } catch (error) {
    if (error instanceof Stopped) err(`✗ ${error.message}`)
    else err(error instanceof Error ? (error.stack ?? error.message) : String(error))
    return error instanceof Stopped ? error.code : CODE.software
  }
}
