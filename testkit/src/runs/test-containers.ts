// `test:containers`: tests the images and the compose project on a Docker engine. Without an engine it fails and says why.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { dockerAnswers } from '../servers/mode.ts'
import { ServersUnavailable } from '../servers/servers.ts'
import { ROOT } from './jest.ts'
import { runJest } from './jest-run.ts'
import { skippedLines, summaryLine } from './tally.ts'

/** Exit codes: 0 all passed · 1 something failed · 69 no Docker engine answers. Arguments select tests, as with jest. */
export async function testContainers(args: string[]): Promise<number> {
  if (!(await dockerAnswers()))
    throw new ServersUnavailable(
      'no Docker engine answers `docker info`: the container tests build images and start them',
    )
  const directory = join(ROOT, '.local', 'test-containers')
  mkdirSync(directory, { recursive: true })
  const controller = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => controller.abort())
  const tally = await runJest({
    projects: ['containers'],
    args,
    resultsFile: join(directory, `results-${process.pid}.json`),
    env: process.env,
    started: () => {},
    interrupted: controller.signal,
  })
  process.stdout.write(`${skippedLines(tally)}${summaryLine(tally)}\n`)
  return tally.failed === 0 && tally.passed > 0 ? 0 : 1
}
