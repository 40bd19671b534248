// What messaging needs of the process it runs in: a logger, a meter, and the news that shutdown has begun.
import type { ChannelModel, Options } from 'amqplib'
import type { Clock } from './scope.ts'

/** A structured logger; pino satisfies it. */
export interface Log {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** Counts and measures by metric name; what the names mean is listed in runtime's metrics. */
export interface Meter {
  count(metric: string, labels?: Record<string, string>, by?: number): void
  observe(metric: string, value: number, labels?: Record<string, string>): void
}

/** What messaging uses of amqplib's function of this name. */
export type Connect = (
  url: Options.Connect,
  socketOptions: { readonly signal: AbortSignal; readonly clientProperties: { readonly connection_name: string } },
) => Promise<ChannelModel>

/** How much each buffer may hold; runtime's memory budget satisfies it. */
export interface Memory {
  /**
   * How many things of `costBytes` each the buffer may hold: as many as are configured, else as many as fit.
   * @throws an Error for the operator when more are configured than fit
   */
  limit(
    buffer: 'unconfirmedMessages' | 'messagesInHand' | 'pages',
    setting: { readonly variable: string; readonly configured: number | undefined },
    cost: { readonly costBytes: number; readonly mostUseful: number },
  ): number
}

export interface Service {
  readonly name: string
  readonly log: Log
  readonly meter: Meter
  /** Aborts when shutdown begins; every wait at start ends then. */
  readonly stopping: AbortSignal
  /** The process's memory, of which messages have a share; 256 MiB when left out. */
  readonly memory?: Memory
  /** Time and chance, and the way to the broker: the real ones when left out. A simulation brings its own. */
  readonly clock?: Clock
  readonly connect?: Connect
}
