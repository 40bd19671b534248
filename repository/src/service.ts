// What the repository needs of the process it runs in: a logger, and the news that shutdown has begun.

/** A structured logger; pino satisfies it. */
export interface Log {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export interface Service {
  readonly name: string
  readonly log: Log
  /** Aborts when shutdown begins; every wait at start ends then. */
  readonly stopping: AbortSignal
  /** Takes what is asked, until the start is over, why it is not: one sentence, or undefined. The last one taken counts. */
  explainStart?(why: () => string | undefined): void
}
