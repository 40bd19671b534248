// The exit codes of `import` and `export`. They are also in docs/import-export.md.

export const CODE = {
  done: 0,
  /** At least one row was rejected. All others are stored. */
  rejected: 1,
  /** Wrong arguments, or a file that cannot be imported. */
  usage: 2,
  /** The outcome of at least one row is unknown. */
  unknown: 3,
  /** The API does not respond, or does not respond like the API of IMS. */
  unavailable: 69,
  /** A bug. */
  software: 70,
  /** The file could not be written. */
  cannotWrite: 73,
  /** The API key was refused. */
  configuration: 78,
  interrupted: 130,
} as const

/** Ends the program with this exit code. The message is one sentence for the user. */
export class Stopped extends Error {
  override readonly name = 'Stopped'
  readonly code: number
  constructor(code: number, message: string) {
    super(message)
    this.code = code
  }
}

/** The reason to end after `error`. A failed operation on a file is reported without a stack trace. */
export function stoppedBy(error: unknown): Stopped {
  if (error instanceof Stopped) return error
  const isFile = error instanceof Error && 'syscall' in error
  const message = error instanceof Error ? ((isFile ? undefined : error.stack) ?? error.message) : String(error)
  return new Stopped(isFile ? CODE.cannotWrite : CODE.software, message)
}
