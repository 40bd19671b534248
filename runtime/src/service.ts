// What every part of a process gets: its name, logger, meter, and the signal that shutdown has begun.

/** A structured logger. pino satisfies it. */
export interface Log {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
  /** Whether a debug line would be written, so that a caller need not make one for each message. Yes when omitted. */
  isLevelEnabled?(level: 'debug'): boolean
}

/** Counts and measures by metric name. metrics.ts lists the names. An unknown name is a bug and throws. */
export interface Meter {
  count(metric: string, labels?: Record<string, string>, by?: number): void
  observe(metric: string, value: number, labels?: Record<string, string>): void
}

export interface Service {
  readonly name: string
  readonly log: Log
  readonly meter: Meter
  /** Aborts when shutdown begins. Every wait during the start ends then. */
  readonly stopping: AbortSignal
  /** Registers a function that says why the start is not complete: one sentence, or undefined. The last one registered counts. */
  explainStart?(why: () => string | undefined): void
}
