// Runs the fault ledger briefly on real servers, and checks the ledger: it must find a violation if any guarantee is removed.
import { beforeAll, describe, expect, it } from '@jest/globals'
import { attachServers, type Servers } from 'testkit'
import { faults, mixOf } from '../../faults/faults/index.ts'
import { mutations } from '../../faults/mutations.ts'
import { faultsByKind, summaryLine, violationLines } from '../../faults/report.ts'
import { runLedger } from '../../faults/run.ts'

const MINUTE_MS = 60_000
const MUTATED_MINUTES = 0.3
/**
 * The maximum number of runs, each with its own seed. A mutation usually causes a violation in the first run, but on a busy
 * machine it may need more. A mutation that causes no violation costs the time of all runs.
 */
const MUTATED_RUNS_MAX = 12

describe('the fault ledger', () => {
  let servers: Servers
  beforeAll(async () => {
    servers = await attachServers(process.env.IMS_TEST_SERVERS ?? '')
  })

  it(
    'finds no violation in two minutes of faults',
    async () => {
      const seed = Number(process.env.IMS_FAULTS_SEED ?? Math.floor(Math.random() * 2 ** 31))
      const run = await runLedger({ servers, seed, minutes: 2, kindsMin: 6, clients: 12, mix: faults })
      const kinds = faultsByKind(run.rounds)
      process.stderr.write(`${summaryLine(run, seed)}\n`)
      expect([...violationLines(run), `seed ${seed}`]).toEqual([`seed ${seed}`])
      const { attempted, accepted, applied, reported, deadLettered, sentTwice } = run.judgement
      expect(applied + reported + deadLettered).toBe(accepted)
      expect(accepted).toBeGreaterThan(100)
      expect(reported).toBeGreaterThan(0)
      expect(sentTwice / attempted).toBeGreaterThan(0.05)
      expect(kinds.length).toBeGreaterThanOrEqual(6)
    },
    8 * MINUTE_MS,
  )

  it.each(mutations)(
    'finds a violation with the mutation $name',
    async (mutation) => {
      let violations = 0
      for (let seed = 1; seed <= MUTATED_RUNS_MAX && violations === 0; seed += 1) {
        const options = { servers, seed, minutes: MUTATED_MINUTES, clients: 12, mix: mixOf(mutation.mix), mutation }
        violations = (await runLedger(options)).judgement.violations.length
      }
      expect(violations).toBeGreaterThan(0)
    },
    15 * MINUTE_MS,
  )
})
