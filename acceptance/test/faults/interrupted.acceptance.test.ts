// Interrupts `npm run faults` with Ctrl-C: it stops waiting for the suite at once, and ends with exit code 130.
import { describe, expect, it } from '@jest/globals'
import { hasServerPrograms, start } from 'testkit'
import { recovered } from '../../faults/nemesis.ts'
import { ROOT } from '../stack.ts'

describe('an interrupted run of the fault ledger', () => {
  it('does not wait until the suite is ready again', async () => {
    const interruption = new AbortController()
    let asked = 0
    const notReady = async () => {
      asked += 1
      if (asked === 3) interruption.abort(new Error('interrupted'))
      return 'MySQL is down'
    }
    const stack = { service: () => ({ notReady }) }
    const scene = { testbed: { stack, replicas: ['consumer_two'] }, interrupted: interruption.signal }
    await expect(recovered(scene as unknown as Parameters<typeof recovered>[0])).rejects.toThrow('interrupted')
    expect(asked).toBe(3)
  })

  const when = hasServerPrograms() ? it : it.skip
  when('ends with exit code 130', async () => {
    let output = ''
    const { child, ended } = start({
      command: [process.execPath, 'acceptance/faults/main.ts', '--minutes', '5'],
      cwd: ROOT,
      env: { PATH: process.env.PATH, IMS_SERVICES: 'local' },
      onLine: (line) => {
        output += `${line}\n`
        if (/, seed \d+$/.test(line)) child.kill('SIGINT')
      },
    })
    expect([(await ended).code, output]).toEqual([
      130,
      expect.stringContaining('✗ interrupted: not everything was checked'),
    ])
  })
})
