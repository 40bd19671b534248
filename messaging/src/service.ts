// What messaging needs of the process it runs in, besides what every part is handed: memory, time, and the way to the broker.
import type { Service as RuntimeService } from '@ims/runtime/service'
import type { ChannelModel, Options } from 'amqplib'
import type { Clock } from './scope.ts'

export type { Log, Meter } from '@ims/runtime/service'

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

export interface Service extends RuntimeService {
  /** The process's memory, of which messages have a share; 256 MiB when left out. */
  readonly memory?: Memory
  /** Time and chance, and the way to the broker: the real ones when left out. A simulation brings its own. */
  readonly clock?: Clock
  readonly connect?: Connect
}
