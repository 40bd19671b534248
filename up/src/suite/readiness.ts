// Asks a service whether it is ready, and the suite whether it answers.
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { Interrupted, StepFailed } from './progress.ts'

const ANSWER_TIMEOUT_MS = 3_000
const ASK_EVERY_MS = 150

const notReadyAnswer = z.object({ reasons: z.array(z.string()).nonempty() })

/** The reason that a service reports until its main function has finished. */
const STARTING = 'the service is starting'

export interface Readiness {
  /** `starting`: its admin port does not listen yet, or reports this state itself. */
  readonly state: 'starting' | 'ready' | 'not-ready'
  /** Why it is not ready. Empty when it is. */
  readonly reason: string
}

/** Requests /readyz from the service's admin port. Never rejects. */
export async function askReadiness(adminPort: number): Promise<Readiness> {
  try {
    const answer = await fetch(`http://127.0.0.1:${adminPort}/readyz`, {
      signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
    })
    if (answer.ok) return { state: 'ready', reason: '' }
    const text = await answer.text()
    const reasons = reasonsIn(text) ?? [text.trim() || `status ${answer.status}`]
    const reason = oneLine(reasons.filter((one) => one !== STARTING || reasons.length === 1).join('; '))
    return { state: reasons.includes(STARTING) ? 'starting' : 'not-ready', reason }
  } catch (error) {
    const timedOut = error instanceof Error && error.name === 'TimeoutError'
    if (timedOut)
      return { state: 'not-ready', reason: `no answer on admin port ${adminPort} in ${ANSWER_TIMEOUT_MS} ms` }
    return { state: 'starting', reason: `admin port ${adminPort} does not answer yet` }
  }
}

/**
 * Resolves with the status when `GET <url>` returns 200, or 401: an API key is required, and we do not know it. Rejects
 * with StepFailed after `deadlineMs`, with Interrupted when `signal` aborts.
 */
export async function waitForAnswer(url: string, deadlineMs: number, signal: AbortSignal): Promise<number> {
  let status = 0
  await until(deadlineMs, signal, async () => {
    try {
      const answer = await fetch(url, { signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) })
      const text = oneLine(await answer.text())
      status = answer.status
      return status === 200 || status === 401 ? undefined : `GET ${url} answers ${answer.status} ${text}`
    } catch (error) {
      return `GET ${url}: ${error instanceof Error ? error.message : String(error)}`
    }
  })
  return status
}

/** Calls `check` until it returns undefined. After `deadlineMs`, fails with the last reason that it returned. */
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
        'The reason says what it waits for; its log in .local/up/logs says more. Then run `npm run up` again.',
      )
    }
    await sleep(ASK_EVERY_MS, undefined, { signal }).catch(() => undefined)
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
