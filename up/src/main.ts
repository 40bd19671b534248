// Runs a command of this repository. up/bootstrap.mjs calls it: `node up/src/main.ts <command> [arguments]`.
type Command = (args: string[]) => Promise<number>

const EXIT_USAGE = 64
const EXIT_FAILURE = 1

// Commands are imported on demand, so that an error in one does not affect the others.
const commands: Record<string, () => Promise<Command>> = {
  up: async () => (await import('./suite/up.ts')).up,
  down: async () => (await import('./suite/down.ts')).down,
  status: async () => (await import('./suite/status.ts')).status,
  logs: async () => (await import('./suite/logs.ts')).logs,
  migrate: async () => (await import('./commands/migrate.ts')).migrateCommand,
  'dead-letters': async () => (await import('./commands/producer-programs.ts')).deadLettersCommand,
  message: async () => (await import('./commands/producer-programs.ts')).messageCommand,
  import: async () => (await import('./commands/items-programs.ts')).importCommand,
  export: async () => (await import('./commands/items-programs.ts')).exportCommand,
  doctor: async () => (await import('./commands/doctor.ts')).doctorCommand,
  break: async () => (await import('./commands/break.ts')).breakCommand,
  rabbitmqctl: async () => (await import('./commands/rabbitmqctl.ts')).rabbitmqctl,
  check: async () => (await import('testkit/runs/check')).check,
  test: async () => (await import('testkit/runs/test')).test,
  'test:containers': async () => (await import('testkit/runs/test-containers')).testContainers,
  'test:cluster': async () => (await import('testkit/runs/test-cluster')).testCluster,
  fuzz: async () => (await import('testkit/runs/fuzz')).fuzz,
  faults: async () => (await import('./commands/faults.ts')).faults,
  soak: async () => (await import('./commands/faults.ts')).soak,
  'on-call': async () => (await import('./commands/faults.ts')).onCall,
  simulate: async () => (await import('./commands/faults.ts')).simulate,
  bench: async () => (await import('./commands/bench.ts')).bench,
  'api-key': async () => (await import('./commands/api-key.ts')).apiKey,
  new: async () => (await import('./commands/new.ts')).newCommand,
  licences: async () => (await import('./commands/licences.ts')).licences,
  servers: async () => (await import('./commands/servers.ts')).servers,
}

/** Without one of these options a command does something else. npm keeps an option that is not after `--`, and sets this variable. */
const KEPT_BY_NPM = ['dry-run', 'detach', 'volumes'].map((option) => ({
  option: `--${option}`,
  variable: `npm_config_${option.replace('-', '_')}`,
}))

const [name = '', ...args] = process.argv.slice(2)
const command = Object.hasOwn(commands, name) ? commands[name] : undefined
const kept = KEPT_BY_NPM.find(({ option, variable }) => process.env[variable] === 'true' && !args.includes(option))
if (kept !== undefined) {
  const corrected = `npm run ${name} -- ${[...args, kept.option].join(' ')}`
  process.stderr.write(`✗ npm has not passed ${kept.option} on. Write the options after --: ${corrected}\n`)
  process.exitCode = EXIT_USAGE
} else if (command === undefined) {
  process.stderr.write(`usage: node up/bootstrap.mjs <${Object.keys(commands).join('|')}> [arguments]\n`)
  process.exitCode = EXIT_USAGE
} else {
  try {
    process.exitCode = await (await command())(args)
  } catch (error) {
    process.exitCode = explain(error)
  }
}

/** Prints an error and returns the exit code. For unexpected errors, also prints the stack trace. */
function explain(error: unknown): number {
  if (error instanceof Error && 'exitCode' in error && typeof error.exitCode === 'number') {
    process.stderr.write(`✗ ${error.message}\n`)
    return error.exitCode
  }
  // The operating system rejected a path or a port. The user can fix that.
  if (error instanceof Error && 'syscall' in error) {
    process.stderr.write(`✗ ${error.message}\n  What to do: fix this path or port, or choose another one.\n`)
    return EXIT_FAILURE
  }
  process.stderr.write(`✗ ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  return EXIT_FAILURE
}
