// A service for tests: keeps what it is told to log, and stops when the test says so.
import type { Service } from '../src/service.ts'

export interface ServiceUnderTest extends Service {
  readonly lines: string[]
  stop(): void
}

/** A service that is not stopping yet and has logged nothing. */
export function serviceUnderTest(): ServiceUnderTest {
  const lines: string[] = []
  const keep = (_: object, message: string) => void lines.push(message)
  const stopping = new AbortController()
  return {
    name: 'test',
    log: { debug: keep, info: keep, warn: keep, error: keep },
    stopping: stopping.signal,
    lines,
    stop: () => stopping.abort(new Error('stopping')),
  }
}
