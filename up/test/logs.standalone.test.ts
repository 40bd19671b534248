// `npm run logs` shows the last lines of each service's log and then new lines, even if a new file replaces the log.
import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from '@jest/globals'
import { eventually } from 'testkit'
import { followLogs } from '../src/suite/logs.ts'

it('follows the logs of all services, with the name of the service before each line', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'ims-logs-'))
  const file = join(directory, 'consumer_one.log')
  const written: string[] = []
  const stop = new AbortController()
  try {
    writeFileSync(file, '{"level":"info","message":"ready"}\n')
    const names = ['consumer_one', 'producer']
    const ended = followLogs(directory, names, 12, (line) => written.push(line), stop.signal)
    await eventually(() => expect(written).toEqual([expect.stringMatching(/^consumer_one \| .*INFO +ready\n$/)]))
    writeFileSync(join(directory, 'producer.log'), 'first\n')
    await eventually(() => expect(written.slice(1)).toEqual(['producer     | first\n']))
    renameSync(file, `${file}.1`)
    appendFileSync(file, 'in the new file\n')
    await eventually(() => expect(written.slice(2)).toEqual(['consumer_one | in the new file\n']))
    stop.abort()
    expect(await ended).toBe(0)
  } finally {
    stop.abort()
    rmSync(directory, { recursive: true })
  }
})
