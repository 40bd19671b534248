// The program `message`: shows the state of one message, by its id, as a timeline. Runs in this image or by `npm run message`. See docs/api.md.
import {
  BadReply,
  Misconfigured,
  messageQuestion,
  messageStatus,
  NoReply,
  NotAccepted,
  OutcomeUnknown,
  openBroker,
  rabbitmqEnvironment,
} from '@ims/messaging'
import { runProgram } from '@ims/runtime'
import { shownMessage } from './message-shown.ts'
import { stateOf } from './message-state.ts'

const USAGE = `usage: npm run message -- <id>
Exit codes: 0 applied · 2 refused · 3 unknown · 64 wrong arguments · 69 no broker or no reply · 78 wrong configuration · 130 interrupted`

/** The exit codes, which docs/api.md lists too. 1 is for unexpected errors. */
const CODE = { applied: 0, refused: 2, unknown: 3, help: 0, usage: 64, noAnswer: 69, interrupted: 130 } as const

/** Timeouts for the connection, and then for the reply from consumer four. */
const CONNECT_WITHIN_MS = 10_000
const ANSWER_WITHIN_MS = 10_000

const NO_ANSWER = [NoReply, NotAccepted, OutcomeUnknown, BadReply, Misconfigured]

void runProgram({ rabbitmq: rabbitmqEnvironment }, async ({ config, args, out, err, stopping }) => {
  if (args[0] === '--help') {
    await out(`${USAGE}\n`)
    return CODE.help
  }
  const { data } = messageQuestion.safeParse({ id: args[0] })
  if (data === undefined || args.length !== 1) {
    err(`one id is needed, of 1 to 255 characters\n${USAGE}`)
    return CODE.usage
  }
  let lastError = 'it does not respond'
  const note = (_: object, message: string) => {
    lastError = message
  }
  const connecting = new AbortController()
  const late = setTimeout(() => connecting.abort(), CONNECT_WITHIN_MS)
  const service = {
    name: 'message',
    log: { debug() {}, info() {}, warn: note, error: note },
    meter: { count() {}, observe() {} },
    stopping: AbortSignal.any([stopping, connecting.signal]),
  }
  try {
    const broker = await openBroker(config.rabbitmq, service)
    clearTimeout(late)
    try {
      const question = { deadlineMs: ANSWER_WITHIN_MS, signal: stopping }
      const reply = await broker.requester.request(messageStatus, data, question)
      const state = stateOf(data.id, reply.body())
      await out(shownMessage(state))
      return CODE[state.state]
    } finally {
      await broker.close()
    }
  } catch (error) {
    if (stopping.aborted) return CODE.interrupted
    if (connecting.signal.aborted) err(`✗ no connection to the broker: ${lastError}`)
    else if (NO_ANSWER.some((known) => error instanceof known))
      err(`✗ ${error instanceof Error ? error.message : error}. Consumer four answers this query. Is it ready?`)
    else throw error
    return CODE.noAnswer
  } finally {
    clearTimeout(late)
  }
})
