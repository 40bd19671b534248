// Formats what is known about a message as a timeline for a terminal, with all content escaped.
import { printable } from '@ims/messaging'
import { type Decision, type MessageState, type Possibility, timeOf } from './message-state.ts'

const EXPLANATIONS: Readonly<Record<Possibility, string>> = {
  queued: 'it waits on its queue, or is being processed',
  'dead-letter': 'it is a dead letter',
  'never-sent': 'no message has this id',
  'leaves-no-record': 'it is a health check or a question',
  forgotten: 'it was decided before the time that the inbox remembers',
  told: 'its sender was told',
  redriven: 'it was put back, and is not decided yet',
  discarded: 'its dead letter was discarded',
}

/** As long as a time. */
const NO_TIME = ' '.repeat(new Date(0).toISOString().length)
const line = (at: string, what: string): string => `  ${at}  ${what}`

/** The state, then the events, oldest first, then the possible explanations. */
export function shownMessage(state: MessageState): string {
  const sentMs = timeOf(state.id)
  const sent = sentMs === undefined ? [] : [line(new Date(sentMs).toISOString(), 'sent (the time in the id)')]
  const history = state.state === 'unknown' ? [] : state.history.flatMap(decided)
  const possible = state.state === 'applied' ? [] : ['one of these holds now:', ...state.possible.map(explained)]
  return `${[`${printable(state.id)}: ${state.state}`, ...sent, ...history, ...possible.map(indented)].join('\n')}\n`
}

const indented = (text: string): string => line(NO_TIME, text)
const explained = (possibility: Possibility): string => `- ${EXPLANATIONS[possibility]}`

function decided({ queue, at, outcome, error, redrivenBefore }: Decision): string[] {
  const what = error === null ? `applied: ${outcome}` : `refused: ${outcome}: ${error}`
  return [
    line(at, printable(`${queue} ${what}`)),
    ...(redrivenBefore === undefined ? [] : [indented('put back from the dead letters')]),
  ]
}
