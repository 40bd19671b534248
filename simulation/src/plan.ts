// A schedule: messages and faults, each at its time. Its seed decides every delay. fast-check generates and shrinks
// plans. Its scheduler knows no time, so we keep time ourselves (world.ts).
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
/** More than the prefetch of two consumers that come back. */
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
    // An interrupted redrive leaves copies, and then there would be more bad messages than the prefetch.
    .map((made) => ({
      ...made,
      faults: made.messages.some(({ kind }) => kind === 'many poison')
        ? made.faults.filter(({ kind }) => kind !== 'redrive')
        : made.faults,
    }))

/**
 * If every prefetched message is poisonous, the consumer cannot tell bad messages from a failed dependency, and rightly
 * keeps retrying. So limit their number.
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
    ...faults.map(({ atMs, kind, at, ms }) => ({ atMs, text: `fault: ${kind} (place ${at}, ${ms} ms)` })),
  ].sort((a, b) => a.atMs - b.atMs)
  const head = `seed ${seed}, ${quorum ? 'quorum' : 'classic'} queues, topology ${topology}`
  return [head, ...lines.map(({ atMs, text }) => `  ${String(atMs).padStart(6)} ms  ${text}`)].join('\n')
}
