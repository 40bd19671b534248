// Writes the supervisor's current state to the state file, at every change.

import { identify } from 'testkit/processes/process-identity'
import { placeOf } from 'testkit/servers/place'
import type { Fleet } from './fleet.ts'
import type { Report } from './progress.ts'
import { type SuiteState, writeState } from './state.ts'
import type { Suite, SuiteServers } from './suite.ts'

export class StateRecord {
  readonly #suite: Suite
  readonly #report: Report
  phase: SuiteState['phase'] = 'starting'
  servers: SuiteServers | undefined
  fleet: Fleet | undefined

  constructor(suite: Suite, report: Report) {
    this.#suite = suite
    this.#report = report
  }

  /** Writes the state file. A write error, such as a full disk, is reported and does not stop the suite. */
  save(): void {
    const supervisor = identify(process.pid)
    if (supervisor === undefined) throw new Error('cannot read the start time of this process')
    const { servers } = this
    try {
      writeState(this.#suite.directory, {
        directory: placeOf(this.#suite.directory),
        supervisor,
        phase: this.phase,
        mode: servers?.mode ?? null,
        http: this.#suite.http,
        rabbitmq: servers?.rabbitmq ?? null,
        mysql: servers?.mysql ?? null,
        servers: this.fleet?.serverStates() ?? [],
        services: this.fleet?.serviceStates() ?? [],
      })
    } catch (error) {
      this.#report({ kind: 'note', text: `! cannot write the state file: ${String(error)}` })
    }
  }
}
