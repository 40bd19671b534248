// Checks whether a service is ready, and whether the suite responds.
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { Interrupted, StepFailed } from './progress.ts'

const RESPONSE_TIMEOUT_MS = 3_000
const CHECK_EVERY_MS = 150

const notReadyAnswer = z.object({ reasons: z.array(z.string()).nonempty() })

/** The reason that a service reports during startup. */
const STARTING = 'the service is starting'

export interface Readiness {
  /** `starting`: the service does not listen on its admin port yet, or reports that it is starting. */
  readonly state: 'starting' | 'ready' | 'not-ready'
  /** Why the service is not ready. Empty when it is ready. */
  readonly reason: string
}

/** Requests /readyz from the service's admin port. Never rejects. */
export async function askReadiness(adminPort: number): Promise<Readiness> {
  try {
    const answer = await fetch(`http://127.0.0.1:${adminPort}/readyz`, {
      signal: AbortSignal.timeout(RESPONSE_TIMEOUT_MS),
    })
    if (answer.ok) return { state: 'ready', reason: '' }
    const text = await answer.text()
    const reasons = reasonsIn(text) ?? [text.trim() || `status ${answer.status}`]
    const reason = oneLine(reasons.filter((one) => one !== STARTING || reasons.length === 1).join('; '))
    return { state: reasons.includes(STARTING) ? 'starting' : 'not-ready', reason }
  } catch (error) {
    const timedOut = error instanceof Error && error.name === 'TimeoutError'
    if (timedOut)
      return { state: 'not-ready', reason: `no response on admin port ${adminPort} within ${RESPONSE_TIMEOUT_MS} ms` }
    return { state: 'starting', reason: `admin port ${adminPort} does not respond yet` }
  }
}

/**
 * Resolves with the status when `GET <url>` returns 200 or 401. 401 is accepted because this process has no API key.
 * Rejects with StepFailed after `deadlineMs`, and with Interrupted when `signal` aborts.
 */
export async function waitForAnswer(url: string, deadlineMs: number, signal: AbortSignal): Promise<number> {
  let status = 0
  await until(deadlineMs, signal, async () => {
    try {
      const answer = await fetch(url, { signal: AbortSignal.timeout(RESPONSE_TIMEOUT_MS) })
      const text = oneLine(await answer.text())
      status = answer.status
      return status === 200 || status === 401 ? undefined : `GET ${url} returned ${answer.status} ${text}`
    } catch (error) {
      return `GET ${url}: ${error instanceof Error ? error.message : String(error)}`
    }
  })
  return status
}

/** Calls `check` until it returns undefined. Rejects with its last reason after `deadlineMs`, and with Interrupted when `signal` aborts. */
export async function until(
  deadlineMs: number,
  signal: AbortSignal,
  check: () => Promise<string | undefined>,
): Promise<void> {
  const endsAt = performance.now() + deadlineMs
  for (;;) {
    if (signal.aborted) throw new Interrupted()
    const reason = await check()
    if (reason === undefined) return
    if (performance.now() > endsAt) {
      throw new StepFailed(
        `after ${deadlineMs / 1000} s: ${reason}`,
        'Fix the reason above; the log in .local/up/logs has details. Then run `npm run up` again.',
      )
    }
    await sleep(CHECK_EVERY_MS, undefined, { signal }).catch(() => undefined)
  }
}

function reasonsIn(text: string): string[] | undefined {
  try {
    return notReadyAnswer.safeParse(JSON.parse(text)).data?.reasons
  } catch {
    return undefined
  }
}

function oneLine(text: string): string {
  const flat = text.replaceAll(/\s+/g, ' ').trim()
  return flat.length > 300 ? `${flat.slice(0, 297)}...` : flat
}
