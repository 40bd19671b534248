// How `up` shows its progress and the services' logs.
import { describe, expect, it } from '@jest/globals'
import { showOn } from '../src/suite/display.ts'
import { legible } from '../src/suite/log-line.ts'
import { runStep, StepFailed, type UpEvent } from '../src/suite/progress.ts'

function recordingScreen(isTTY: boolean) {
  const screen = { isTTY, columns: 40, text: '', write: (text: string) => (screen.text += text) }
  return screen
}

describe('the log lines of a service', () => {
  it('become time, level, message and the remaining members', () => {
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

  it('stay as they are when they are not log records', () => {
    for (const line of ['plain words', '{"broken":', '{"msg":"no level"}', '[1]', '']) expect(legible(line)).toBe(line)
  })

  it('get the name of the service in front, aligned', () => {
    const screen = recordingScreen(false)
    showOn(screen, 'consumer_three'.length)({ kind: 'log', service: 'producer', text: 'hello' })
    expect(screen.text).toBe('producer       | hello\n')
  })
})

describe('the progress of a step', () => {
  it('is one line with seconds in a plain file, without control characters', async () => {
    const screen = recordingScreen(false)
    await runStep(showOn(screen, 5), 'ports', async (detail) => {
      detail('looking')
      return { text: 'free', value: undefined }
    })
    expect(screen.text).toMatch(/^ {2}ports: looking\n✓ ports: free \(0\.\d s\)\n$/)
  })

  it('rewrites its line on a terminal and keeps it below the log lines of the services', () => {
    const screen = recordingScreen(true)
    const report = showOn(screen, 3)
    report({ kind: 'begun', step: 'one' })
    report({ kind: 'log', service: 'one', text: 'hello' })
    report({ kind: 'done', step: 'one', text: 'ready', seconds: 1.25 })
    const clear = '\r\x1b[2K'
    expect(screen.text).toBe(`${clear}… one${clear}one | hello\n… one${clear}✓ one: ready (1.3 s)\n`)
  })

  it('never lets the line that is rewritten be wider than the terminal', () => {
    const screen = recordingScreen(true)
    showOn(screen, 3)({ kind: 'detail', step: 'servers', text: 'x'.repeat(100) })
    expect(screen.text).toHaveLength('\r\x1b[2K'.length + 39)
    const unknown = { ...recordingScreen(true), columns: 0, text: '', write: (text: string) => (unknown.text += text) }
    showOn(unknown, 3)({ kind: 'begun', step: 'servers' })
    expect(unknown.text).toContain('… servers')
  })

  it('says of a failed step why and what to do, and throws on', async () => {
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
