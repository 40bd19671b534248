// Request and reply with a deadline: for queries, and for commands whose sender requests the outcome.
import type { ConfirmChannel, Message } from 'amqplib'
import type { z } from 'zod'
import type { Command, Query } from '../contract.ts'
import { BadReply, NoReply, NotAccepted, OutcomeUnknown } from '../errors.ts'
import { parseJson } from '../json.ts'
import { legible } from '../legible.ts'
import { idsOf } from '../logged-ids.ts'
import { type Clock, clockOf, type Scope, whenLate } from '../scope.ts'
import type { Service } from '../service.ts'
import { traceReply } from '../traces.ts'
import type { Envelope, Publisher } from './publisher.ts'
import {
  DIRECT_REPLY_TO,
  ERROR_HEADER,
  HEARS_REFUSALS_HEADER,
  isReplyAddress,
  REPEATED_HEADER,
  refusalBody,
  refusalHeard,
} from './reply.ts'

export interface Reply<T> {
  /**
   * Parses the reply by the contract. For a large reply this is the most expensive step.
   * @throws BadReply
   */
  body(): T
  /** The reply's bytes unchanged, for forwarding. */
  readonly raw: Buffer
  readonly headers: Record<string, unknown>
}

export interface CommandOptions {
  readonly deadlineMs: number
  readonly headers?: Record<string, string>
  readonly signal?: AbortSignal
  /** A new one when omitted. */
  readonly messageId?: string
}

/**
 * The outcome of an accepted command. `repeated`: an earlier delivery has applied it. `no-reply`: no outcome was reported
 * in time.
 */
export type CommandReply<Result> =
  | { readonly kind: 'applied'; readonly result: Result; readonly repeated?: true }
  | { readonly kind: 'refused'; readonly reason: string; readonly error: string }
  | { readonly kind: 'no-reply' }

/** Maximum wait for a reply once the process is shutting down. Replies usually take milliseconds, and the grace period is short. */
const STOPPING_WAITS_MAX_MS = 2_000
/** Maximum wait for the sender to acknowledge a refusal: one round trip on a busy machine. */
const HEARD_WAITS_MAX_MS = 2_000
/** Maximum number of refusals that are remembered. A consumer that crashes after its refusal was received sends it again. */
const HEARD_MAX = 10_000

interface Waiting {
  resolve(message: Message): void
  reject(reason: Error): void
  /** Shortens the wait because this process is shutting down. */
  hurry(): void
}

export class Requester {
  readonly #publisher: Publisher
  readonly #service: Service
  readonly #clock: Clock
  readonly #waiting = new Map<string, Waiting>()
  readonly #heard = new Set<string>()
  readonly #asksCommands: boolean

  /**
   * A requester that sends no commands does not acknowledge refusals. Otherwise a peer that knows our reply address could
   * make us publish to an address for which the broker closes the connection.
   */
  constructor(publisher: Publisher, service: Service, { asksCommands = true } = {}) {
    this.#publisher = publisher
    this.#asksCommands = asksCommands
    this.#service = service
    this.#clock = clockOf(service)
    service.meter.count('replies_late', {}, 0)
    service.stopping.addEventListener('abort', () => {
      for (const { hurry } of this.#waiting.values()) hurry()
    })
  }

  /** Prepares a new channel: replies arrive on it, and pending requests fail at once when it closes. */
  async attach(channel: ConfirmChannel): Promise<void> {
    channel.on('close', () => {
      for (const { reject } of [...this.#waiting.values()])
        reject(new OutcomeUnknown('the connection to the broker was lost while waiting for the reply'))
    })
    await channel.consume(DIRECT_REPLY_TO, (message) => message && this.#arrived(message), { noAck: true })
  }

  /**
   * Sends a request and resolves with the reply. The request expires on the queue at its deadline.
   * @throws NotAccepted, OutcomeUnknown (connection lost, this process is stopping, or `signal` aborted), NoReply
   * (deadline), BadReply (error reply)
   */
  async request<T>(
    query: Query<T>,
    body: unknown,
    {
      deadlineMs,
      headers = {},
      signal,
    }: { deadlineMs: number; headers?: Record<string, unknown>; signal?: AbortSignal },
  ): Promise<Reply<T>> {
    const correlationId = this.#clock.uuid()
    const since = this.#clock.nowMs()
    const reply = this.#expect(correlationId, deadlineMs, query.queue, signal)
    this.#publisher
      .publish(query, body, {
        // The request is useless after its deadline, so it does not have to survive a restart of the broker.
        persistent: false,
        expiration: Math.ceil(deadlineMs),
        replyTo: DIRECT_REPLY_TO,
        correlationId,
        messageId: correlationId,
        headers,
      })
      .catch((error: Error) => this.#waiting.get(correlationId)?.reject(error))
    const message = await reply
    this.#service.meter.observe('rpc_duration_seconds', (this.#clock.nowMs() - since) / 1000, { queue: query.queue })
    return queryReplyIn(query, message)
  }

  /**
   * Publishes a command and waits up to `deadlineMs` for its outcome. A reply proves that the command arrived, so it
   * takes precedence over a late or lost confirm. Without a reply the confirm decides: a confirmed command is accepted.
   * Waits at most 2 s once this process is shutting down, and stops waiting when `signal` aborts.
   * @throws NotAccepted or OutcomeUnknown as `publish` does
   */
  async command<Result>(
    command: Command<unknown, Result>,
    body: unknown,
    options: CommandOptions,
  ): Promise<{ messageId: string; reply: CommandReply<Result> }> {
    const { deadlineMs, headers, signal } = options
    // Not the message id, because a late reply to an earlier request with the same id may belong to another body.
    const correlationId = this.#clock.uuid()
    const { messageId = correlationId } = options
    const answer = this.#expect(correlationId, deadlineMs, command.queue, signal).then(
      (message) => this.#outcome(command.result, message, { messageId, headers }),
      (error: Error): CommandReply<Result> => {
        if (error instanceof NoReply || error instanceof OutcomeUnknown) return { kind: 'no-reply' }
        throw error
      },
    )
    const confirmed = this.#publisher
      .publish(command, body, {
        messageId,
        replyTo: DIRECT_REPLY_TO,
        correlationId,
        headers: { ...headers, [HEARS_REFUSALS_HEADER]: true },
      })
      .then(
        () => undefined,
        (error: Error) => {
          // A command that was not accepted gets no reply.
          if (error instanceof NotAccepted) this.#waiting.get(correlationId)?.reject(error)
          return error
        },
      )
    const reply = await answer
    if (reply.kind !== 'no-reply') return { messageId, reply }
    const unconfirmed = await confirmed
    if (unconfirmed) throw unconfirmed
    return { messageId, reply }
  }

  /**
   * Sends a refusal to the requester. Resolves with true if the requester received it in time. Resolves with false if not,
   * after 2 s without an acknowledgement, if the refusal could not be sent, or if `givenUp` ends. Never rejects.
   * @internal
   */
  async refuse({ queue, content, properties }: Envelope, givenUp: Scope): Promise<boolean> {
    const messageId = this.#clock.uuid()
    const answer = this.#expect(messageId, HEARD_WAITS_MAX_MS, undefined, givenUp.signal)
    // Not `givenUp`, which may never end: replies are sent in order, so those of applied commands would wait behind this one.
    const waits = givenUp.part([], HEARD_WAITS_MAX_MS)
    this.#publisher
      .tell({ queue, content, properties: { ...properties, messageId, replyTo: DIRECT_REPLY_TO } }, waits)
      .catch((why: Error) => this.#waiting.get(messageId)?.reject(why))
    try {
      const parsed = parseJson((await answer).content)
      return parsed.ok && refusalHeard.safeParse(parsed.value).data?.heard === true
    } catch {
      return false
    }
  }

  /** Waits for a reply. `queue` is the queue of the request, for which a missing reply is counted. */
  #expect(correlationId: string, deadlineMs: number, queue?: string, signal?: AbortSignal): Promise<Message> {
    return new Promise<Message>((resolve, reject) => {
      const clearDeadline = whenLate(this.#clock, deadlineMs, () => {
        if (queue !== undefined) this.#service.meter.count('replies_missing', { queue })
        waiting.reject(new NoReply(`no reply from ${queue} within ${Math.round(deadlineMs)} ms`))
      })
      let clearHurry = () => {}
      const forget = () => waiting.reject(new OutcomeUnknown(`stopped waiting for the reply from ${queue}`))
      const leave = () => {
        clearDeadline()
        clearHurry()
        signal?.removeEventListener('abort', forget)
        this.#waiting.delete(correlationId)
      }
      const waiting: Waiting = {
        resolve: (message) => {
          leave()
          resolve(message)
        },
        reject: (reason) => {
          leave()
          reject(reason)
        },
        hurry: () => {
          const reason = new OutcomeUnknown(`no reply from ${queue} before this process stopped`)
          clearHurry = whenLate(this.#clock, STOPPING_WAITS_MAX_MS, () => waiting.reject(reason))
        },
      }
      this.#waiting.set(correlationId, waiting)
      signal?.addEventListener('abort', forget)
      if (signal?.aborted) forget()
      if (this.#service.stopping.aborted) waiting.hurry()
    })
  }

  #arrived(message: Message): void {
    const { correlationId } = message.properties
    const waiting = this.#waiting.get(correlationId)
    if (this.#asksCommands && message.properties.headers?.[ERROR_HEADER] !== undefined)
      this.#refused(message, waiting !== undefined)
    if (waiting) {
      traceReply(message.properties.headers)
      waiting.resolve(message)
      return
    }
    this.#service.meter.count('replies_late')
    this.#service.log.debug({ correlationId }, 'dropped a late reply')
  }

  /** Informs the consumer whether its refusal was received in time. If not, the consumer dead-letters the message. */
  #refused({ properties: { messageId, correlationId, replyTo } }: Message, isAwaited: boolean): void {
    if (isAwaited) this.#heard.add(correlationId)
    if (this.#heard.size > HEARD_MAX) this.#heard.delete(this.#heard.keys().next().value ?? '')
    if (!isReplyAddress(replyTo)) return
    const content = Buffer.from(JSON.stringify({ heard: this.#heard.has(correlationId) }))
    const properties = { persistent: false, mandatory: false, correlationId: messageId }
    // If this acknowledgement is lost, the consumer dead-letters the message too.
    this.#publisher.send({ queue: replyTo, content, properties }).catch(() => {})
  }

  #outcome<Result>(
    schema: z.ZodType<Result>,
    message: Message,
    sent: { readonly messageId: string; readonly headers: CommandOptions['headers'] },
  ): CommandReply<Result> {
    const reply = commandReplyIn(schema, message)
    if (reply.kind === 'no-reply')
      this.#service.log.warn(idsOf(sent), 'a consumer replied to a command in an unknown form; treated as no reply')
    return reply
  }
}

/** Parses the reply to a command. Returns `no-reply` if it has an unknown form. */
export function commandReplyIn<Result>(schema: z.ZodType<Result>, message: Message): CommandReply<Result> {
  const reason: unknown = message.properties.headers?.[ERROR_HEADER]
  const parsed = parseJson(message.content)
  if (typeof reason === 'string') return { kind: 'refused', reason, error: errorIn(parsed) }
  const result = parsed.ok ? schema.safeParse(parsed.value) : undefined
  if (!result?.success) return { kind: 'no-reply' }
  const isRepeated = message.properties.headers?.[REPEATED_HEADER] === true
  return { kind: 'applied', result: result.data, ...(isRepeated ? { repeated: true } : {}) }
}

/** The reply to a query. Throws BadReply for an error reply. The body is parsed when it is used. */
export function queryReplyIn<T>(query: Query<T>, { content, properties }: Message): Reply<T> {
  const headers: Record<string, unknown> = properties.headers ?? {}
  if (headers[ERROR_HEADER] !== undefined)
    throw new BadReply(`${query.queue} replied with an error: ${legible(content.toString())}`)
  const body = (): T => {
    const parsed = parseJson(content)
    if (!parsed.ok) throw new BadReply(`the reply from ${query.queue} is not JSON: ${parsed.error}`)
    const { data, error } = query.reply.safeParse(parsed.value)
    if (error)
      throw new BadReply(`the reply from ${query.queue} does not match the contract: ${error.issues[0]?.message}`)
    return data
  }
  return { body, raw: content, headers }
}

function errorIn(parsed: ReturnType<typeof parseJson>): string {
  const body = parsed.ok ? refusalBody.safeParse(parsed.value) : undefined
  return body?.success ? body.data.error : 'no explanation given'
}
