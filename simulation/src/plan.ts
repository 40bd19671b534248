// A schedule: messages and faults, each with its time. The seed determines every delay. fast-check generates and shrinks
// plans. Virtual time is in world.ts, because the scheduler of fast-check has no clock.
import fc from 'fast-check'
import { z } from 'zod'

export const FAULTS = [
  'cut',
  'swallow',
  'close',
  'cuts',
  'restart',
  'drain',
  'alarm',
  'slow confirms',
  'nack',
  'slow broker',
  'database away for one',
  'database away',
  'commit reply lost',
  'commit fails',
  'freeze',
  'clock jump',
  'delete queue',
  'stop',
  'kill',
  'remove item',
  'redrive',
  'browse',
] as const
export type Fault = (typeof FAULTS)[number]

const MESSAGES = ['publish', 'command', 'twice', 'poison', 'many poison', 'query', 'other'] as const
export const POISONOUS: ReadonlySet<string> = new Set(['poison', 'many poison'])
/** More than the total prefetch of two consumers that return after an outage. */
export const MANY = 21

export const plan = z.strictObject({
  seed: z.int(),
  quorum: z.boolean(),
  countsNacks: z.boolean(),
  topology: z.enum(['declare', 'check']),
  messages: z.array(z.strictObject({ atMs: z.int(), kind: z.enum(MESSAGES), sku: z.int(), from: z.int() })),
  faults: z.array(z.strictObject({ atMs: z.int(), kind: z.enum(FAULTS), at: z.int(), ms: z.int() })),
})
export type Plan = z.output<typeof plan>

const HORIZON_MS = 12_000

export const plans = (kinds: readonly Fault[] = FAULTS): fc.Arbitrary<Plan> =>
  fc
    .record({
      seed: fc.nat(),
      quorum: fc.boolean(),
      countsNacks: fc.boolean(),
      topology: fc.constantFrom('declare' as const, 'declare' as const, 'check' as const),
      hasPoison: fc.boolean(),
      messages: fc.array(
        fc.record({
          atMs: fc.nat(HORIZON_MS),
          kind: fc.constantFrom('publish' as const, 'publish' as const, ...MESSAGES),
          sku: fc.nat(6),
          from: fc.nat(1),
        }),
        { minLength: 1, maxLength: 14 },
      ),
      faults: fc.array(
        fc.record({
          atMs: fc.nat(HORIZON_MS),
          kind: fc.constantFrom(...kinds),
          at: fc.nat(7),
          ms: fc.integer({ min: 10, max: 20_000 }),
        }),
        { maxLength: 4 },
      ),
    })
    .map(({ hasPoison, ...made }) => ({ ...made, messages: made.messages.filter(fewPoisonous(hasPoison)) }))
    // Plans with many poisonous messages have no redrive. An interrupted redrive leaves copies, so these messages could exceed
    // the prefetch.
    .map((made) => ({
      ...made,
      faults: made.messages.some(({ kind }) => kind === 'many poison')
        ? made.faults.filter(({ kind }) => kind !== 'redrive')
        : made.faults,
    }))

/**
 * Limits the number of poisonous messages. If every prefetched message were poisonous, the consumer could not distinguish
 * bad messages from a failed dependency, and would correctly retry for ever.
 */
const fewPoisonous = (hasPoison: boolean) => {
  let left = hasPoison ? 2 + MANY : 0
  return ({ kind }: Plan['messages'][number]): boolean => {
    if (POISONOUS.has(kind)) left -= kind === 'poison' ? 1 : MANY
    return !POISONOUS.has(kind) || left >= 0
  }
}

/** A plan as readable text. */
export function readable({ seed, quorum, topology, messages, faults }: Plan): string {
  const lines = [
    ...messages.map(({ atMs, kind, sku, from }, index) => ({
      atMs,
      text: `producer ${from} sends m${index} (${kind}, sku ${sku})`,
    })),
    ...faults.map(({ atMs, kind, at, ms }) => ({ atMs, text: `fault: ${kind} (at ${at}, ${ms} ms)` })),
  ].sort((a, b) => a.atMs - b.atMs)
  const head = `seed ${seed}, ${quorum ? 'quorum' : 'classic'} queues, topology ${topology}`
  return [head, ...lines.map(({ atMs, text }) => `  ${String(atMs).padStart(6)} ms  ${text}`)].join('\n')
}
