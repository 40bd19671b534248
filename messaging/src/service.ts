// What messaging needs from its process: memory, time, and the way to connect to the broker.
import type { Service as RuntimeService } from '@ims/runtime/service'
import type { ChannelModel, Options } from 'amqplib'
import type { Clock } from './scope.ts'

export type { Log, Meter } from '@ims/runtime/service'

/** The part of amqplib's function of this name that messaging uses. */
export type Connect = (
  url: Options.Connect,
  socketOptions: { readonly signal: AbortSignal; readonly clientProperties: { readonly connection_name: string } },
) => Promise<ChannelModel>

/** The limits of the buffers. runtime's memory budget satisfies it. */
export interface Memory {
  /**
   * How many things of `costBytes` each the buffer may hold: the configured number, or else as many as fit.
   * @throws an Error for the operator when the configured number does not fit
   */
  limit(
    buffer: 'unconfirmedMessages' | 'messagesInFlight' | 'pages',
    setting: { readonly variable: string; readonly configured: number | undefined },
    cost: { readonly costBytes: number; readonly maxUseful: number },
  ): number
}

export interface Service extends RuntimeService {
  /** The process's memory, of which messages get a share. 256 MiB when omitted. */
  readonly memory?: Memory
  /** Clock and connect function. The real ones when omitted; a simulation supplies its own. */
  readonly clock?: Clock
  readonly connect?: Connect
}
