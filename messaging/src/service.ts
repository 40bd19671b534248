// The dependencies of messaging that its process supplies: memory budget, clock, and the function that connects to the broker.
import type { Service as RuntimeService } from '@ims/runtime/service'
import type { ChannelModel, Options } from 'amqplib'
import type { Clock } from './scope.ts'

export type { Log, Meter } from '@ims/runtime/service'

/** The part of amqplib's `connect` that messaging uses. */
export type Connect = (
  url: Options.Connect,
  socketOptions: { readonly signal: AbortSignal; readonly clientProperties: { readonly connection_name: string } },
) => Promise<ChannelModel>

/** The limits of the buffers. The memory budget of runtime implements this interface. */
export interface Memory {
  /**
   * The maximum number of units of `costBytes` in the buffer: the configured number, or as many as fit, up to
   * `maxUseful`.
   * @throws an Error for the operator if the configured number does not fit
   */
  limit(
    buffer: 'unconfirmedMessages' | 'messagesInFlight' | 'pages',
    setting: { readonly variable: string; readonly configured: number | undefined },
    cost: { readonly costBytes: number; readonly maxUseful: number },
  ): number
}

export interface Service extends RuntimeService {
  /** The memory budget of the process. If omitted, each buffer has its configured or default limit. */
  readonly memory?: Memory
  /** If omitted, the system clock and amqplib's `connect` are used. A simulation supplies its own. */
  readonly clock?: Clock
  readonly connect?: Connect
}
