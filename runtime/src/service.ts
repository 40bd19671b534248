// The service object that every part of a process receives: its name, logger, meter, and the signal that shutdown has begun.

/** A structured logger. pino satisfies it. */
export interface Log {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
  /** Whether debug lines are written. If not, a caller does not have to create one for each message. True when omitted. */
  isLevelEnabled?(level: 'debug'): boolean
}

/** Counts and observes by metric name. metrics.ts lists the names. An unknown name throws. */
export interface Meter {
  count(metric: string, labels?: Record<string, string>, by?: number): void
  observe(metric: string, value: number, labels?: Record<string, string>): void
}

export interface Service {
  readonly name: string
  readonly log: Log
  readonly meter: Meter
  /** Aborts when shutdown begins. This ends every wait during startup. */
  readonly stopping: AbortSignal
  /** Registers a function that returns why startup is not complete, in one sentence, or undefined. Replaces the previous function. */
  explainStart?(why: () => string | undefined): void
}
