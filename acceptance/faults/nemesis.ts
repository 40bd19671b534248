// Causes faults in rounds, one or two at a time, repairs them, and measures how long the suite takes to recover.
import { setTimeout as pause } from 'node:timers/promises'
import type { Group, Scene, Struck } from './faults/fault.ts'
import type { Planned } from './schedule.ts'
import { create } from './workload/requests.ts'
import { allReady } from './world.ts'

const RECOVERED_WITHIN_MS = 120_000
const CANARY_WAIT_S = 5
const CALM_MAX_MS = 600

export interface Round {
  readonly atMs: number
  readonly endedMs: number
  readonly faults: readonly StruckFault[]
  /** From the end of the last fault until all services are ready and an item was created. */
  readonly recoveryMs: number
}

export interface StruckFault {
  /** Its number in the schedule of the run. */
  readonly number: number
  readonly kind: string
  readonly group: Group
  readonly note: string
  readonly tookEffect: boolean
  readonly fromMs: number
  /** When it was repaired. */
  readonly untilMs: number
}

/** Causes these faults at the same time, repairs them, and waits until everything works. */
export async function strikeRound(scene: Scene, planned: readonly Planned[]): Promise<Round> {
  const { random, sender, interrupted } = scene
  const { history } = sender
  const atMs = history.nowMs()
  const struck: (Planned & { readonly fromMs: number; readonly struck: Struck })[] = []
  for (const each of planned)
    struck.push({
      ...each,
      fromMs: history.nowMs(),
      struck: await each.fault.strike({ ...scene, random: each.random }),
    })
  // An interruption ends the waiting, never the repair.
  const lastsMs = Math.max(...struck.map((each) => each.struck.lastsMs))
  await pause(lastsMs, undefined, { signal: interrupted }).catch(() => {})
  // In parallel: a process that got SIGTERM and was then frozen ends only after the other fault has let it continue.
  const faults = await Promise.all(
    struck.map(async ({ number, fault: { kind, group }, fromMs, struck: { note, heal } }) => {
      const tookEffect = await heal()
      return { number, kind, group, note, tookEffect, fromMs, untilMs: history.nowMs() }
    }),
  )
  const recoveryMs = await recovered(scene)
  history.disturbances.push({ fromMs: atMs, untilMs: history.nowMs() })
  await pause(random.whole(0, CALM_MAX_MS))
  return { atMs, endedMs: history.nowMs(), faults, recoveryMs }
}

/** Milliseconds until all services are ready and an item is created end to end. Rejects when that takes too long, and when interrupted. */
export async function recovered({ world, sender, interrupted }: Scene): Promise<number> {
  const since = performance.now()
  await allReady(world, RECOVERED_WITHIN_MS, interrupted)
  for (;;) {
    interrupted.throwIfAborted()
    const sku = sender.history.unique('Sö')
    const canary = await create(sender, sku, CANARY_WAIT_S)
    if (canary.answer === 'accepted') sender.history.expected.set(sku, canary.id)
    const took = performance.now() - since
    if (canary.reported === 'created') return took
    if (took > RECOVERED_WITHIN_MS)
      throw new Error(`no item was created within ${RECOVERED_WITHIN_MS} ms: ${canary.calls.at(-1)?.answered}`)
    await pause(100)
  }
}
