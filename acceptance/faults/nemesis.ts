// Causes faults in rounds, one or two at a time, repairs them, and measures how long the suite takes to recover.
import { setTimeout as pause } from 'node:timers/promises'
import type { Fault, Scene, Struck } from './faults/fault.ts'
import { create } from './workload/requests.ts'
import { allReady } from './world.ts'

const RECOVERED_WITHIN_MS = 120_000
const CANARY_WAIT_S = 5
const CALM_MAX_MS = 600
const PAIR_FRACTION = 0.4

export interface Round {
  readonly atMs: number
  readonly endedMs: number
  readonly faults: readonly { readonly kind: string; readonly note: string; readonly tookEffect: boolean }[]
  /** From the end of the last fault until all services are ready and an item was created. */
  readonly recoveryMs: number
}

/** Causes one round of faults from `mix`, repairs them, and waits until everything works. */
export async function strikeRound(scene: Scene, mix: readonly Fault[]): Promise<Round> {
  const { random, sender, interrupted } = scene
  const atMs = sender.history.nowMs()
  const chosen = choose(scene, mix)
  const struck: { fault: Fault; struck: Struck }[] = []
  for (const fault of chosen) struck.push({ fault, struck: await fault.strike(scene) })
  // An interruption ends the waiting, never the repair.
  const lastsMs = Math.max(...struck.map((each) => each.struck.lastsMs))
  await pause(lastsMs, undefined, { signal: interrupted }).catch(() => {})
  // In parallel: a process that got SIGTERM and was then frozen ends only after the other fault has let it continue.
  const faults = await Promise.all(
    struck.map(async ({ fault, struck: one }) => ({ kind: fault.kind, note: one.note, tookEffect: await one.heal() })),
  )
  const recoveryMs = await recovered(scene)
  sender.history.disturbances.push({ fromMs: atMs, untilMs: sender.history.nowMs() })
  await pause(random.whole(0, CALM_MAX_MS))
  return { atMs, endedMs: sender.history.nowMs(), faults, recoveryMs }
}

function choose({ random }: Scene, mix: readonly Fault[]): Fault[] {
  const first = random.weighted(mix)
  const others = mix.filter(({ group }) => group !== first.group && group !== 'moment')
  if (first.group === 'moment' || others.length === 0 || random.fraction() > PAIR_FRACTION) return [first]
  return [first, random.weighted(others)]
}

/** Milliseconds until all services are ready and an item is created end to end. Rejects when that takes too long. */
export async function recovered({ world, sender }: Scene): Promise<number> {
  const since = performance.now()
  await allReady(world, RECOVERED_WITHIN_MS)
  for (;;) {
    const sku = sender.history.unique('Sö')
    const canary = await create(sender, sku, CANARY_WAIT_S)
    if (canary.answer === 'accepted') sender.history.expected.set(sku, canary.id)
    const took = performance.now() - since
    if (canary.reported === 'created') return took
    if (took > RECOVERED_WITHIN_MS)
      throw new Error(`no item was created within ${RECOVERED_WITHIN_MS} ms: ${canary.answered}`)
    await pause(100)
  }
}
