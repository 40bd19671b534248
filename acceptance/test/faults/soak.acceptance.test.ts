// A short soak test on real servers with every attack. Its time limits are high, because other tests run at the same time.
import { expect, it } from '@jest/globals'
import { attachServers } from 'testkit'
import { summaryLine, violationLines } from '../../soak/report.ts'
import { LIMITS, runSoak } from '../../soak/run.ts'

const BUSY = { answeredWithinMs: 19_000, refusedWithinMs: 19_000, quietP95Ms: 19_000 }

it('the suite loses nothing, stays within its memory limits and serves honest clients under every attack', async () => {
  const servers = await attachServers(process.env.IMS_TEST_SERVERS ?? '')
  const seed = Math.floor(Math.random() * 2 ** 31)
  const soak = await runSoak({ servers, seed, minutes: 1 / 3, limits: { ...LIMITS, ...BUSY } })
  process.stderr.write(`${summaryLine(soak, seed)}\n`)
  expect([...violationLines(soak), `seed ${seed}`]).toEqual([`seed ${seed}`])
  expect(soak.judgement.applied).toBeGreaterThan(100)
})
