// `test:containers`: tests the images and the compose project on a Docker engine. Without an engine it fails and prints the reason.
import { dockerAnswers } from '../servers/mode.ts'
import { ServersUnavailable } from '../servers/servers.ts'
import { runJest } from './jest-run.ts'
import { exceptions, summaryLine } from './tally.ts'
import { interruptedBySignals } from './test.ts'

/** Exit codes: 0 all tests passed · 1 a test failed, or none ran · 69 no Docker engine responds. Arguments select tests, as with jest. */
export async function testContainers(args: string[]): Promise<number> {
  if (!(await dockerAnswers()))
    throw new ServersUnavailable(
      'no Docker engine responds to `docker info`: the container tests need one to build and start images',
    )
  const tally = await runJest({ projects: ['containers'], args, interrupted: interruptedBySignals() })
  process.stdout.write(`${exceptions(tally)}${summaryLine(tally)}\n`)
  return tally.failed === 0 && tally.passed > 0 ? 0 : 1
}
