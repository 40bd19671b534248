// The output of `up` and `status`: progress, log lines of the services, and the status table.
import { describe, expect, it } from '@jest/globals'
import { showOn } from '../src/suite/display.ts'
import { legible } from '../src/suite/log-line.ts'
import { runStep, StepFailed, type UpEvent } from '../src/suite/progress.ts'
import { statusTable } from '../src/suite/status-table.ts'

/** Control characters that clear the screen, ring the bell, start an escape sequence (C1), reverse the text direction and start a line. */
const HOSTILE = 'a\u001b[2J\u0007\u009b2J\u202eb\n✓ up'
const SHOWN = 'a\\u001b[2J\\u0007\\u009b2J\\u202eb\\n✓ up'

function recordingScreen(isTTY: boolean) {
  const screen = { isTTY, columns: 40, text: '', write: (text: string) => (screen.text += text) }
  return screen
}

describe('the log lines of a service', () => {
  it('are shown as time, level, message and the remaining members', () => {
    const time = Date.UTC(2026, 0, 2, 3, 4, 5, 678)
    const line = JSON.stringify({
      level: 40,
      time,
      pid: 7,
      hostname: 'h',
      name: 'consumer_one',
      msg: 'slow',
      queue: 'q',
    })
    expect(legible(line)).toBe('03:04:05.678 WARN  slow {"queue":"q"}')
    expect(legible('{"level":"info","time":"2026-01-02T03:04:05.678Z","service":"producer","message":"up"}')).toBe(
      '03:04:05.678 INFO  up',
    )
  })

  it('are unchanged when they are not log records', () => {
    for (const line of ['plain words', '{"broken":', '{"msg":"no level"}', '[1]', '']) expect(legible(line)).toBe(line)
  })

  it('show control characters as escapes, whether they were JSON-encoded or not', () => {
    const line = JSON.stringify({ level: 'info', message: HOSTILE, id: '\u202e\u009b' })
    expect(legible(line)).toBe(`INFO  ${SHOWN} {"id":"\\u202e\\u009b"}`)
    expect(legible(HOSTILE)).toBe(SHOWN)
  })

  it('have the name of the service as an aligned prefix', () => {
    const screen = recordingScreen(false)
    showOn(screen, 'consumer_three'.length)({ kind: 'log', service: 'producer', text: 'hello' })
    expect(screen.text).toBe('producer       | hello\n')
  })
})

describe('the progress of a step', () => {
  it('is one line for each detail and one for the result in a plain file, without control characters', async () => {
    const screen = recordingScreen(false)
    await runStep(showOn(screen, 5), 'ports', async (detail) => {
      detail('looking')
      return { text: 'free', value: undefined }
    })
    expect(screen.text).toMatch(/^ {2}ports: looking\n✓ ports: free \(0\.\d s\)\n$/)
  })

  it('is overwritten on a terminal, below the log lines of the services', () => {
    const screen = recordingScreen(true)
    const report = showOn(screen, 3)
    report({ kind: 'begun', step: 'one' })
    report({ kind: 'log', service: 'one', text: 'hello' })
    report({ kind: 'done', step: 'one', text: 'ready', seconds: 1.25 })
    const clear = '\r\x1b[2K'
    expect(screen.text).toBe(`${clear}… one${clear}one | hello\n… one${clear}✓ one: ready (1.3 s)\n`)
  })

  it.each([true, false])('shows control characters as escapes (on a terminal: %s)', (isTTY) => {
    const screen = { ...recordingScreen(isTTY), columns: 500, text: '', write: (text: string) => (screen.text += text) }
    const report = showOn(screen, 3)
    report({ kind: 'detail', step: 'one', text: HOSTILE })
    report({ kind: 'log', service: 'one', text: HOSTILE })
    report({ kind: 'note', text: HOSTILE })
    report({ kind: 'failed', step: 'one', why: HOSTILE, todo: HOSTILE, seconds: 0 })
    const own = screen.text.replaceAll('\r\u001b[2K', '')
    expect(own).toContain('\\u001b[2J\\u0007\\u009b2J\\u202eb')
    expect(own).not.toMatch(/[^\P{C}\n]/u)
  })

  it('is never wider than the terminal while it is overwritten', () => {
    const screen = recordingScreen(true)
    showOn(screen, 3)({ kind: 'detail', step: 'servers', text: 'x'.repeat(100) })
    expect(screen.text).toHaveLength('\r\x1b[2K'.length + 39)
    const unknown = { ...recordingScreen(true), columns: 0, text: '', write: (text: string) => (unknown.text += text) }
    showOn(unknown, 3)({ kind: 'begun', step: 'servers' })
    expect(unknown.text).toContain('… servers')
  })

  it('reports why a step failed and what to do, and rethrows the error', async () => {
    const events: UpEvent[] = []
    const failing = runStep(
      (event) => events.push(event),
      'ports',
      async () => {
        throw new StepFailed('port 5000 is taken', 'Set PORT.')
      },
    )
    await expect(failing).rejects.toThrow('port 5000 is taken')
    expect(events.at(-1)).toMatchObject({ kind: 'failed', step: 'ports', why: 'port 5000 is taken', todo: 'Set PORT.' })
    const screen = recordingScreen(false)
    showOn(screen, 5)({ kind: 'failed', step: 'ports', why: 'taken\nby me', todo: 'Set PORT.', seconds: 0 })
    expect(screen.text).toBe('✗ ports failed after 0.0 s\n  Why: taken\n  by me\n  What to do: Set PORT.\n')
  })
})

describe('the status table', () => {
  it.each(['local', 'external'])(
    'shows the rabbitmqctl command for a local broker only, and no password (%s)',
    (mode) => {
      const rabbitmq = { host: '127.0.0.1', port: 5672, username: 'ims', password: 'secret', vhost: '/' }
      const report = { http: null, rabbitmq, mysql: null, servers: [], services: [] }
      const table = statusTable({ report, exitCode: 4, summary: 'Not ready.', mode, remarks: [] })
      expect(table.includes('npm run rabbitmqctl -- list_queues')).toBe(mode === 'local')
      expect(table).not.toContain('secret')
    },
  )

  it('shows a reason with control characters as escapes, on one line', () => {
    const services = [{ name: 'one', pid: 7, admin: 5001, state: 'not-ready' as const }]
    const report = { http: null, rabbitmq: null, mysql: null, servers: [], services }
    const remarks = [{ reason: HOSTILE, restarts: 0 }]
    const table = statusTable({ report, exitCode: 4, summary: 'Not ready.', mode: null, remarks })
    expect(table.split('\n').at(-1)).toBe(`one      not-ready  7    127.0.0.1:5001  0         ${SHOWN}`)
  })
})
