// Parses the command lines of `up`, `down` and `status`.
import { parseArgs } from 'node:util'

type Flags = Record<string, string>

/** Returns the `flags` that are set. For `--help` or wrong arguments, prints the usage and returns the exit code. */
export function readFlags(
  command: string,
  args: readonly string[],
  flags: Flags,
): { set: ReadonlySet<string> } | { exitCode: number } {
  const options = Object.fromEntries(
    ['help', ...Object.keys(flags)].map((name) => [name, { type: 'boolean' as const }]),
  )
  try {
    const { values } = parseArgs({ args: [...args], options, strict: true })
    if (values.help !== true) return { set: new Set(Object.keys(values)) }
    process.stdout.write(`${usage(command, flags)}\n`)
    return { exitCode: 0 }
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${usage(command, flags)}\n`)
    return { exitCode: 2 }
  }
}

function usage(command: string, flags: Flags): string {
  const names = Object.keys(flags).map((name) => `[--${name}]`)
  const lines = Object.entries(flags).map(([name, meaning]) => `  --${name.padEnd(10)} ${meaning}`)
  return [`Usage: npm run ${command} -- ${names.join(' ')}`, ...lines].join('\n')
}
