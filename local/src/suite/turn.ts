// Whose turn it is: takes the claim on the suite, or finds out that the suite is up already or is being started by another.
import { setTimeout as sleep } from 'node:timers/promises'
import { claimDirectory } from './claim.ts'
import { isAlive } from './process-identity.ts'
import { Interrupted, type Report } from './progress.ts'
import { readState, type SuiteState } from './state.ts'

export type Turn = { kind: 'ours'; release: () => void } | { kind: 'theirs'; code: 0 | 1 }

const LOOK_EVERY_MS = 100

/**
 * Ours, with what gives the claim back; theirs with code 0 when the suite is up, or with 1 when another process tried to start
 * it and failed. Waits while another starts or stops it. Rejects with Interrupted when `signal` aborts.
 */
export async function takeTurn(directory: string, report: Report, signal: AbortSignal): Promise<Turn> {
  let awaited: SuiteState['phase'] | undefined
  for (;;) {
    if (signal.aborted) throw new Interrupted()
    const release = claimDirectory(directory)
    if (release !== undefined) {
      if (awaited !== 'starting') return { kind: 'ours', release }
      release()
      report({ kind: 'note', text: 'The other `npm run up` has ended before the suite was up; its output says why.' })
      return { kind: 'theirs', code: 1 }
    }
    const state = readState(directory)
    if (state !== undefined && isAlive(state.supervisor)) {
      if (state.phase === 'up') {
        report({ kind: 'note', text: alreadyUp(state) })
        return { kind: 'theirs', code: 0 }
      }
      if (awaited !== state.phase) {
        const doing = state.phase === 'starting' ? 'already starting the suite' : 'stopping the suite'
        report({ kind: 'note', text: `Process ${state.supervisor.pid} is ${doing}; waiting for it.` })
      }
      awaited = state.phase
    }
    await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined)
  }
}

function alreadyUp({ http, supervisor }: SuiteState): string {
  return [
    `The suite is already up: ${http} (supervised by process ${supervisor.pid}).`,
    '`npm run status` says what runs where, `npm run down` stops it.',
  ].join('\n')
}
