// Runs a handler until it tells what happened: holds messages while the world is bad, isolates the one that is bad itself.
import { backoffMs, pause } from './backoff.ts'
import type { ConsumerConfig } from './config.ts'
import type { Delivery, Handler, Outcome } from './handler.ts'
import type { Service } from './service.ts'
import { afterFailure } from './settle.ts'

/** Attempts that a message alone is given before a handler's unexplained exceptions count as its own fault. */
const ATTEMPTS_MOST = 3

export interface AttemptParts<Body, Result> {
  readonly queue: string
  readonly handler: Handler<Body, Result>
  readonly config: Pick<ConsumerConfig, 'retryMostMs' | 'holdMostMs'>
  readonly service: Service
  /** Told what is wrong while messages are held, and undefined when it is over. */
  readonly trouble: (sentence: string | undefined) => void
}

/** One outcome for each delivery, in order; undefined when `givenUp` aborted, or the hold grew too long, before they could be told. */
export async function outcomesOf<Body, Result>(
  deliveries: readonly Delivery<Body>[],
  parts: AttemptParts<Body, Result>,
  givenUp: AbortSignal,
): Promise<readonly Outcome<Result>[] | undefined> {
  const heldSince = performance.now()
  let failures = 0
  for (let attempt = 1; ; attempt += 1) {
    try {
      const outcomes = await told(parts.handler, attempt === 1 ? deliveries : deliveries.map(asRedelivered))
      parts.trouble(undefined)
      return outcomes
    } catch (error) {
      const next = afterFailure(error, deliveries.length, failures + 1, ATTEMPTS_MOST)
      report(parts, deliveries, error, attempt, next === 'hold')
      if (next === 'isolate') return await oneByOne(deliveries, parts, givenUp)
      if (next !== 'hold' && next !== 'again') return [next]
      if (next === 'again') failures += 1
      if (performance.now() - heldSince > parts.config.holdMostMs) return undefined
      await pause(backoffMs(attempt, parts.config.retryMostMs), givenUp)
      if (givenUp.aborted) return undefined
    }
  }
}

/** An attempt of ours that failed may have had its effect: the next one is a redelivery in all but name. */
const asRedelivered = <Body>(delivery: Delivery<Body>): Delivery<Body> => ({ ...delivery, redelivered: true })

async function told<Body, Result>(
  handler: Handler<Body, Result>,
  deliveries: readonly Delivery<Body>[],
): Promise<readonly Outcome<Result>[]> {
  const outcomes = await handler(deliveries)
  if (outcomes.length !== deliveries.length)
    throw new Error(`the handler returned ${outcomes.length} outcomes for ${deliveries.length} messages`)
  return outcomes
}

async function oneByOne<Body, Result>(
  deliveries: readonly Delivery<Body>[],
  parts: AttemptParts<Body, Result>,
  givenUp: AbortSignal,
): Promise<readonly Outcome<Result>[] | undefined> {
  const outcomes: Outcome<Result>[] = []
  for (const delivery of deliveries) {
    const alone = await outcomesOf([asRedelivered(delivery)], parts, givenUp)
    if (alone === undefined) return undefined
    outcomes.push(...alone)
  }
  return outcomes
}

function report(
  { queue, service, trouble }: Pick<AttemptParts<unknown, unknown>, 'queue' | 'service' | 'trouble'>,
  deliveries: readonly Delivery[],
  error: unknown,
  attempt: number,
  held: boolean,
): void {
  const why = error instanceof Error ? error.message : String(error)
  service.meter.count('messages_retried', { queue }, deliveries.length)
  const fields = { queue, attempt, messages: deliveries.length, messageId: deliveries[0]?.messageId }
  service.log.warn(fields, `could not apply, ${held ? 'holding' : 'trying again'}: ${why}`)
  if (!held) return
  service.meter.observe('messages_held', deliveries.length, { queue })
  trouble(`holding ${deliveries.length} messages of ${queue}: ${why}`)
}
