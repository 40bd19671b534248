// Takes the lock on the suite. Detects that the suite is already up, or that another process is starting or stopping it.
import { setTimeout as sleep } from 'node:timers/promises'
import { claimDirectory } from 'testkit/processes/claim'
import { isAlive } from 'testkit/processes/process-identity'
import { Interrupted, type Report, StepFailed } from './progress.ts'
import { until } from './readiness.ts'
import { readState, type SuiteState } from './state.ts'
import { STATUS_EXIT, statusOf } from './status-report.ts'
import type { Suite } from './suite.ts'

export type Turn = { kind: 'ours'; release: () => void } | { kind: 'theirs'; code: 0 | 1 }

const CHECK_EVERY_MS = 100

/**
 * Waits while another process starts or stops the suite. Resolves with `ours` and a function that releases the lock, or
 * with `theirs`: code 0 when the suite is already up, 1 when another process failed to start it. Rejects with Interrupted
 * when `signal` aborts.
 */
export async function takeTurn(suite: Suite, report: Report, signal: AbortSignal): Promise<Turn> {
  const { directory } = suite
  let awaited: SuiteState['phase'] | undefined
  for (;;) {
    if (signal.aborted) throw new Interrupted()
    const release = claimDirectory(directory)
    if (release !== undefined) {
      if (awaited !== 'starting') return { kind: 'ours', release }
      release()
      report({ kind: 'note', text: 'The other `npm run up` exited before the suite was up; see its output.' })
      return { kind: 'theirs', code: 1 }
    }
    const state = readState(directory)
    if (state !== undefined && isAlive(state.supervisor)) {
      if (state.phase === 'up') {
        return { kind: 'theirs', code: await isUp(suite, state, report, signal) }
      }
      if (awaited !== state.phase) {
        const doing = state.phase === 'starting' ? 'already starting the suite' : 'stopping the suite'
        report({ kind: 'note', text: `Process ${state.supervisor.pid} is ${doing}; waiting for it.` })
      }
      awaited = state.phase
    }
    await sleep(CHECK_EVERY_MS, undefined, { signal }).catch(() => undefined)
  }
}

/** Waits until the whole suite is ready, for example after a restart. Resolves with 0 when it is ready, or with 1 on timeout. */
async function isUp(suite: Suite, state: SuiteState, report: Report, signal: AbortSignal): Promise<0 | 1> {
  let logged = ''
  const why = async () => {
    const {
      exitCode,
      report: { servers, services },
      remarks,
      summary,
    } = await statusOf(suite)
    if (exitCode === STATUS_EXIT.ready) return undefined
    if (exitCode === STATUS_EXIT.notRunning) return summary
    const notReady = [...servers, ...services]
      .map(({ name, state: how }, index) => ({
        name,
        how,
        why: remarks[index]?.reason,
        isServer: index < servers.length,
      }))
      .filter(({ how }) => how !== 'ready')
    // A server that is down is the reason why services are not ready.
    const causes = notReady.filter(({ isServer }) => isServer)
    return (causes.length > 0 ? causes : notReady)
      .map(({ name, how, why: reason }) => `${name} is ${how}${reason ? ` (${reason})` : ''}`)
      .join('; ')
  }
  try {
    await until(suite.readyMs, signal, async () => {
      const reason = await why()
      if (reason !== undefined && logged === '') {
        logged = reason
        report({
          kind: 'note',
          text: `The suite runs (process ${state.supervisor.pid}), but ${reason}; waiting for it.`,
        })
      }
      return reason
    })
  } catch (error) {
    if (!(error instanceof StepFailed)) throw error
    report({
      kind: 'note',
      text: `! The suite runs, but is not ready ${error.message}. \`npm run status\` shows details.`,
    })
    return 1
  }
  report({ kind: 'note', text: alreadyUp(state) })
  return 0
}

function alreadyUp({ http, supervisor }: SuiteState): string {
  return [
    `The suite is already up: ${http} (supervised by process ${supervisor.pid}).`,
    '`npm run status` shows its state, `npm run down` stops it.',
  ].join('\n')
}
