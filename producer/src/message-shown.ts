// Formats the state of a message as a timeline for a terminal, with all content escaped.
import { printable } from '@ims/messaging'
import { type Decision, type MessageState, type Possibility, timeOf } from './message-state.ts'

const EXPLANATIONS: Readonly<Record<Possibility, string>> = {
  queued: 'it is in its queue, or is being processed',
  'dead-letter': 'it is a dead letter',
  'never-sent': 'no message has this id',
  'leaves-no-record': 'it is a health check or a query',
  forgotten: 'its record was deleted after the retention time',
  told: 'its sender received the refusal as a reply',
  redriven: 'it was redriven, and is not processed yet',
  discarded: 'its dead letter was discarded',
}

/** Spaces with the width of a timestamp. */
const NO_TIME = ' '.repeat(new Date(0).toISOString().length)
const line = (at: string, what: string): string => `  ${at}  ${what}`

/** Shows the state, then the events from the oldest to the newest, then the possible explanations. */
export function shownMessage(state: MessageState): string {
  const sentMs = timeOf(state.id)
  const sent = sentMs === undefined ? [] : [line(new Date(sentMs).toISOString(), 'sent (the time in the id)')]
  const history = state.state === 'unknown' ? [] : state.history.flatMap(decided)
  const possible = state.state === 'applied' ? [] : ['one of these is true now:', ...state.possible.map(explained)]
  return `${[`${printable(state.id)}: ${state.state}`, ...sent, ...history, ...possible.map(indented)].join('\n')}\n`
}

const indented = (text: string): string => line(NO_TIME, text)
const explained = (possibility: Possibility): string => `- ${EXPLANATIONS[possibility]}`

function decided({ queue, at, outcome, error, redrivenBefore }: Decision): string[] {
  const what = error === null ? `applied: ${outcome}` : `refused: ${outcome}: ${error}`
  return [
    line(at, printable(`${queue} ${what}`)),
    ...(redrivenBefore === undefined ? [] : [indented('redriven from the dead letters')]),
  ]
}
