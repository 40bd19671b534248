// Causes faults in rounds, one or two at a time, repairs them, and measures how long the suite takes to recover.
import { setTimeout as pause } from 'node:timers/promises'
import type { Group, Injected, Scene } from './faults/fault.ts'
import type { Planned } from './schedule.ts'
import { allReady } from './testbed.ts'
import { create } from './workload/requests.ts'

const RECOVERED_WITHIN_MS = 120_000
const CANARY_WAIT_S = 5
const CALM_MAX_MS = 600

export interface Round {
  readonly atMs: number
  readonly endedMs: number
  readonly faults: readonly InjectedFault[]
  /** The time from the end of the last fault until all services are ready and an item has been created. */
  readonly recoveryMs: number
}

export interface InjectedFault {
  /** Its number in the schedule of the run. */
  readonly number: number
  readonly kind: string
  readonly group: Group
  readonly note: string
  readonly tookEffect: boolean
  readonly fromMs: number
  /** The time of the repair. */
  readonly untilMs: number
}

/** Causes these faults at the same time, repairs them, and waits until the suite has recovered. */
export async function injectRound(scene: Scene, planned: readonly Planned[]): Promise<Round> {
  const { random, sender, interrupted } = scene
  const { history } = sender
  const atMs = history.nowMs()
  const injected: (Planned & { readonly fromMs: number; readonly injected: Injected })[] = []
  for (const each of planned)
    injected.push({
      ...each,
      fromMs: history.nowMs(),
      injected: await each.fault.inject({ ...scene, random: each.random }),
    })
  // An interruption ends only the wait. The faults are always repaired.
  const lastsMs = Math.max(...injected.map((each) => each.injected.lastsMs))
  await pause(lastsMs, undefined, { signal: interrupted }).catch(() => {})
  // Repairs them in parallel, because a process that got SIGTERM and is frozen exits only after the other fault has resumed it.
  const faults = await Promise.all(
    injected.map(async ({ number, fault: { kind, group }, fromMs, injected: { note, repair } }) => {
      const tookEffect = await repair()
      return { number, kind, group, note, tookEffect, fromMs, untilMs: history.nowMs() }
    }),
  )
  const recoveryMs = await recovered(scene)
  history.disturbances.push({ fromMs: atMs, untilMs: history.nowMs() })
  await pause(random.whole(0, CALM_MAX_MS))
  return { atMs, endedMs: history.nowMs(), faults, recoveryMs }
}

/** Resolves with the milliseconds until all services are ready and an item is created. Rejects on a timeout or an interruption. */
export async function recovered({ testbed, sender, interrupted }: Scene): Promise<number> {
  const since = performance.now()
  await allReady(testbed, RECOVERED_WITHIN_MS, interrupted)
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
