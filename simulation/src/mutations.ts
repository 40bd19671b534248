// The faults that were found by hand, put back one by one: each is a change of the source, made while it is loaded. The letters are
// the rows of simulation/README.md. The simulator must find each of them within a minute.
import type { Fault } from './plan.ts'

export interface Mutation {
  readonly name: string
  /** The file it changes, from the root of the repository. */
  readonly file: string
  readonly edits: readonly { readonly find: string; readonly replace: string }[]
  /** Under which its harm shows soonest. */
  readonly faults: readonly Fault[]
}

const PUBLISHER = 'messaging/src/outgoing/publisher.ts'
const CONSUMER = 'messaging/src/incoming/consumer.ts'
const ATTEMPTS = 'messaging/src/incoming/attempts.ts'
const SCOPE = 'messaging/src/scope.ts'

export const mutations: readonly Mutation[] = [
  {
    name: 'b: a connection that is closed as it opens is taken for open',
    file: 'messaging/src/connection/inside-amqplib.ts',
    edits: [
      { find: 'ends.get(connection)', replace: 'undefined' },
      { find: 'opened(ends.get(this) ?? error, ok)', replace: 'opened(error, ok)' },
    ],
    faults: ['drain', 'close'],
  },
  {
    name: 'e: a nack is told as "not stored"',
    file: PUBLISHER,
    edits: [
      {
        find: 'new OutcomeUnknown(`the broker rejected',
        replace: "new NotAccepted('over-limit', `the broker rejected",
      },
    ],
    faults: ['nack'],
  },
  {
    name: 'f: a consumer whose connection is cut while its database is away takes its messages again at once',
    file: CONSUMER,
    edits: [
      {
        find: 'if (this.#stop.signal.aborted) {\n      this.#trouble',
        replace: 'if (this.#givenUp(batch).aborted) {\n      this.#trouble',
      },
    ],
    faults: ['database away', 'cuts'],
  },
  {
    name: 'g: a consumer whose database is away holds its messages for ever',
    file: ATTEMPTS,
    edits: [{ find: '> holdMostMs) return false', replace: '> Number.POSITIVE_INFINITY) return false' }],
    faults: ['database away for one'],
  },
  {
    name: 'k: a dead letter is published again when its confirm is late',
    file: PUBLISHER,
    edits: [
      { find: 'this.#write(envelope, resolve, reject, stopping))', replace: 'this.#write(envelope, resolve, reject))' },
    ],
    faults: ['slow confirms'],
  },
  {
    name: 'l: holding goes on after the stop',
    file: ATTEMPTS,
    edits: [
      { find: 'return !this.#givenUp.aborted', replace: 'return true' },
      { find: '> holdMostMs) return false', replace: '> Number.POSITIVE_INFINITY) return false' },
    ],
    faults: ['database away', 'stop'],
  },
  {
    name: 'n: a hold that ended is still spoken of',
    file: CONSUMER,
    edits: [
      { find: '    this.#trouble = undefined\n    this.#away = undefined', replace: '    this.#away = undefined' },
    ],
    faults: ['database away', 'cuts', 'restart'],
  },
  {
    name: 'o: a channel that closes as it opens is taken for open',
    file: 'messaging/src/connection/connection.ts',
    edits: [
      { find: '    ended: channelEnd,\n', replace: '' },
      { find: '    if (closed !== undefined) throw closed\n', replace: '' },
    ],
    faults: ['close', 'cut', 'drain', 'delete queue', 'slow broker'],
  },
  {
    name: 'p: a deadline is judged before the socket is read',
    file: SCOPE,
    edits: [{ find: 'if (stoodStillMs < STOOD_STILL_MS) judge()', replace: 'if (stoodStillMs >= 0) late()' }],
    faults: ['freeze'],
  },
  {
    name: 'q: a late confirm wins over an answer',
    file: 'messaging/src/outgoing/requester.ts',
    edits: [{ find: 'if (error instanceof NotAccepted) this.#waiting', replace: 'this.#waiting' }],
    faults: ['slow confirms'],
  },
  {
    name: 'r: a channel that opens after its deadline is left open',
    file: 'messaging/src/connection/connection.ts',
    edits: [{ find: '    await close(channel)\n    throw reason', replace: '    throw reason' }],
    faults: ['slow broker'],
  },
  {
    name: 'x: only the batch is given back, and later messages go on',
    file: CONSUMER,
    edits: [
      {
        find: '    await this.#cancel()\n    // Queries',
        replace: "    this.#inHand.leave('give back', batch)\n    if (batch.length > 0) return\n    // Queries",
      },
    ],
    faults: ['database away'],
  },
  {
    name: 'confirms are not waited for',
    file: PUBLISHER,
    edits: [{ find: '    this.#measure()\n    try {', replace: '    queueMicrotask(resolve)\n    try {' }],
    faults: ['cut', 'restart', 'swallow'],
  },
  {
    name: 'returns are not asked for',
    file: PUBLISHER,
    edits: [{ find: '{ mandatory: true, ...properties }', replace: '{ ...properties }' }],
    faults: ['delete queue'],
  },
  {
    name: 'messages are acked before they are applied',
    file: CONSUMER,
    edits: [
      {
        find: '    const outcomes = await this.#judge(batch)',
        replace: "    this.#inHand.leave('ack', batch)\n    const outcomes = await this.#judge(batch)",
      },
    ],
    faults: ['kill', 'stop', 'cut'],
  },
]
