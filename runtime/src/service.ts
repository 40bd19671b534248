// What every part of a process is handed: its name, logger, meter, and the news that shutdown has begun.

/** A structured logger; pino satisfies it. */
export interface Log {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** Counts and measures by metric name; what the names mean is listed in metrics.ts. An unknown name is a bug and throws. */
export interface Meter {
  count(metric: string, labels?: Record<string, string>, by?: number): void
  observe(metric: string, value: number, labels?: Record<string, string>): void
}

export interface Service {
  readonly name: string
  readonly log: Log
  readonly meter: Meter
  /** Aborts when shutdown begins: every wait at start ends then. */
  readonly stopping: AbortSignal
  /** Takes what is asked, until the start is over, why it is not: one sentence, or undefined. The last one taken counts. */
  explainStart?(why: () => string | undefined): void
}
