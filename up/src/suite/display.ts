// Shows the events of `up`. On a terminal, the line of the current step is overwritten. Elsewhere, lines are only added.
import { printable, standardOutput } from '@ims/runtime'
import { logPrefix } from './log-line.ts'
import type { Report, UpEvent } from './progress.ts'

export interface Screen {
  readonly isTTY?: boolean
  readonly columns?: number
  write(text: string): unknown
}

/** Standard output of this process. If its reader is slow or has exited, or the disk is full, lines are lost and the suite keeps running. */
export function ownScreen(): Screen {
  const output = standardOutput()
  output.onLoss({
    resumed: (lines, error) =>
      output.write(`! ${lines} lines were lost here: the output did not accept them (${error})\n`),
  })
  return {
    get isTTY() {
      return process.stdout.isTTY
    },
    get columns() {
      return process.stdout.columns
    },
    write: (text) => output.write(text),
  }
}

const CLEAR_LINE = '\r\x1b[2K'

/** Returns the reporter that writes to `screen`. `nameWidth` aligns the prefixes of forwarded log lines. */
export function showOn(screen: Screen, nameWidth: number): Report {
  const terminal = screen.isTTY === true
  let pending = ''
  const print = (text: string) => {
    // A log line may contain content of messages. Control characters in it must not reach the terminal.
    const lines = text.split('\n').map(printable).join('\n')
    screen.write(terminal ? `${CLEAR_LINE}${lines}\n${pending}` : `${lines}\n`)
  }
  const hold = (text: string) => {
    // The line is cut to the width of the terminal, because a wrapped line cannot be overwritten. Some terminals report 0 columns.
    pending = text === '' ? '' : printable(text).slice(0, (screen.columns || 80) - 1)
    if (terminal) screen.write(`${CLEAR_LINE}${pending}`)
  }
  return (event) => {
    switch (event.kind) {
      case 'begun':
        return hold(`… ${event.step}`)
      case 'detail':
        return terminal ? hold(`… ${event.step}: ${event.text}`) : print(`  ${event.step}: ${event.text}`)
      case 'done':
      case 'failed':
        pending = ''
        return print(outcome(event))
      case 'log':
        return print(`${logPrefix(event.service, nameWidth)}${event.text}`)
      case 'note':
        return print(event.text)
      case 'settled':
        return
    }
  }
}

function outcome(event: Extract<UpEvent, { kind: 'done' | 'failed' }>): string {
  const took = `${event.seconds.toFixed(1)} s`
  if (event.kind === 'done') return `✓ ${event.step}: ${event.text} (${took})`
  const todo = event.todo === '' ? '' : `\n  What to do: ${indented(event.todo)}`
  return `✗ ${event.step} failed after ${took}\n  Why: ${indented(event.why)}${todo}`
}

function indented(text: string): string {
  return text.replaceAll('\n', '\n  ')
}
