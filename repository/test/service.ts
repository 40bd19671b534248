// A service for tests. It keeps its log lines, and stops when the test calls `stop`.
import type { Service } from '../src/service.ts'

export interface ServiceUnderTest extends Service {
  readonly lines: string[]
  /** The lines that were logged as warnings. */
  readonly warned: string[]
  /** Why startup is not complete, as /readyz would report it. */
  whyStarting(): string | undefined
  stop(): void
}

/** A service that is not stopping and has logged nothing. */
export function serviceUnderTest(): ServiceUnderTest {
  const lines: string[] = []
  const warned: string[] = []
  const keep = (_: object, message: string) => void lines.push(message)
  const stopping = new AbortController()
  let why: () => string | undefined = () => undefined
  return {
    name: 'test',
    explainStart: (explanation) => {
      why = explanation
    },
    whyStarting: () => why(),
    log: {
      debug: keep,
      info: keep,
      warn: (fields, message) => {
        keep(fields, message)
        warned.push(message)
      },
      error: keep,
    },
    stopping: stopping.signal,
    lines,
    warned,
    stop: () => stopping.abort(new Error('stopping')),
  }
}
