// The supervisor's side of the state file: writes the current state at every change.

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

  /** A full disk must not stop the suite. It is reported, and the services run on. */
  save(): void {
    const supervisor = identify(process.pid)
    if (supervisor === undefined) throw new Error('the operating system does not say when this process started')
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
