// Bugs that were once found by hand. Each is a set of edits that are applied while the source is loaded. The simulation must
// find each bug. Some have a letter. simulation/README.md lists the letters that are not here, with the reasons.
import type { Fault } from './plan.ts'

export interface Mutation {
  readonly name: string
  /** The file to change, relative to the root of the repository. */
  readonly file: string
  readonly edits: readonly { readonly find: string; readonly replace: string }[]
  /** The faults that reveal the bug fastest. */
  readonly faults: readonly Fault[]
}

const PUBLISHER = 'messaging/src/outgoing/publisher.ts'
const CONSUMER = 'messaging/src/incoming/consumer.ts'
const ATTEMPTS = 'messaging/src/incoming/attempts.ts'
const SCOPE = 'messaging/src/scope.ts'

export const mutations: readonly Mutation[] = [
  {
    name: 'b: a connection that the broker closes while it opens counts as open',
    file: 'messaging/src/connection/inside-amqplib.ts',
    edits: [
      { find: 'ends.get(connection)', replace: 'undefined' },
      { find: 'opened(ends.get(this) ?? error, ok)', replace: 'opened(error, ok)' },
    ],
    faults: ['drain', 'close'],
  },
  {
    name: 'e: a nack is reported as "not stored"',
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
    name: 'f: a consumer whose connection is lost while its database is down consumes again at once',
    file: CONSUMER,
    edits: [
      {
        find: 'if (this.#stop.signal.aborted) {\n      this.#trouble',
        replace: 'if (this.#givenUp(items).aborted) {\n      this.#trouble',
      },
    ],
    faults: ['database away', 'cuts', 'cuts'],
  },
  {
    name: 'g: a consumer whose database is down holds its messages for ever',
    file: ATTEMPTS,
    edits: [{ find: 'this.#scope.part([], parts.config.holdMaxMs)', replace: 'this.#scope' }],
    faults: ['database away for one'],
  },
  {
    name: 'h: each attempt restarts the hold time',
    file: ATTEMPTS,
    edits: [
      {
        find: '? this.#scope : this.#hold',
        replace: '? this.#scope : this.#scope.part([], this.#parts.config.holdMaxMs)',
      },
    ],
    faults: ['database away for one'],
  },
  {
    name: 'k: a dead letter is published again when its confirm is late',
    file: PUBLISHER,
    edits: [{ find: 'this.#offer(envelope, undefined, stopping)', replace: 'this.#offer(envelope, undefined)' }],
    faults: ['slow confirms'],
  },
  {
    name: 'l: messages are still held after shutdown has begun',
    file: ATTEMPTS,
    edits: [{ find: 'if (until.isOver) return {', replace: 'if (attempt < 0) return {' }],
    faults: ['database away', 'stop'],
  },
  {
    name: 'n: readiness still reports a hold that has ended',
    file: CONSUMER,
    edits: [
      { find: '    this.#trouble = undefined\n    this.#away = undefined', replace: '    this.#away = undefined' },
    ],
    faults: ['database away', 'cuts', 'restart'],
  },
  {
    name: 'o: a channel that closes while it opens counts as open',
    file: 'messaging/src/connection/connection.ts',
    edits: [
      { find: '    ended: channelEnd,\n', replace: '' },
      { find: '    if (closed !== undefined) throw closed\n', replace: '' },
    ],
    faults: ['close', 'cut', 'drain', 'delete queue', 'slow broker'],
  },
  {
    name: 'p: a timeout fires before data that is already in the socket is read',
    file: SCOPE,
    edits: [{ find: 'if (suspendedMs < SUSPENDED_MIN_MS) judge()', replace: 'if (suspendedMs >= 0) late()' }],
    faults: ['freeze'],
  },
  {
    name: 'q: a late confirm ends the wait for the reply',
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
    name: 'm: a missing queue is checked on the publishing channel',
    file: PUBLISHER,
    edits: [
      {
        find: '    this.queues.returned(queue)',
        replace: '    this.queues.returned(queue)\n    void this.#channel?.current?.checkQueue(queue).catch(() => {})',
      },
    ],
    faults: ['delete queue'],
  },
  {
    name: 'u: two operators can read the dead letters at the same time',
    file: 'messaging/src/dead-letters/reader.ts',
    edits: [{ find: '      await this.#claim(channel)\n', replace: '' }],
    faults: ['browse', 'redrive'],
  },
  {
    name: 'w: a redrive publishes without a transaction',
    file: 'messaging/src/dead-letters/redriven.ts',
    edits: [{ find: '    this.#commit = await transactional(this.#channel)\n', replace: '' }],
    faults: ['redrive', 'alarm'],
  },
  {
    name: 'x: only the batch is requeued, and later messages are still processed',
    file: CONSUMER,
    edits: [
      {
        find: '    await this.#cancel()\n    // Queries',
        replace: "    this.#inFlight.leave('requeue', items)\n    if (items.length > 0) return\n    // Queries",
      },
    ],
    faults: ['database away'],
  },
  {
    name: 'a consumer that returns keeps its small prefetch, even if all messages fail with an unknown error',
    file: CONSUMER,
    edits: [{ find: 'isTransient(error) || this.#takes >= this.#prefetch ?', replace: 'this.#takes > 0 ?' }],
    faults: ['database away'],
  },
  {
    name: 'outcomes are reported only when the whole batch has ended',
    file: CONSUMER,
    edits: [
      {
        find: '          reports.push(this.#reporter.report(reported))',
        replace: '          late.push(...reported)',
      },
      {
        find: '    const reports: Promise<void>[] = []',
        replace: '    const late = [] as never[]\n    const reports: Promise<void>[] = []',
      },
      {
        find: '    if (unreported !== undefined && this.#lastReportedMs < since)',
        replace:
          "    for (const { item } of late) item.step = 'reporting'\n    reports.push(this.#reporter.report(late))\n    if (unreported !== undefined && this.#lastReportedMs < since)",
      },
    ],
    faults: ['database away'],
  },
  {
    name: 'the publisher does not wait for confirms',
    file: PUBLISHER,
    edits: [{ find: '    this.#measure()\n    try {', replace: '    queueMicrotask(resolve)\n    try {' }],
    faults: ['cut', 'restart', 'swallow'],
  },
  {
    name: 'messages are not published as mandatory',
    file: PUBLISHER,
    edits: [{ find: '{ mandatory: true, ...properties }', replace: '{ ...properties }' }],
    faults: ['delete queue'],
  },
  {
    name: 'messages are acknowledged before they are applied',
    file: CONSUMER,
    edits: [
      {
        find: '    const unreported = await attemptAll(',
        replace: "    this.#inFlight.leave('ack', batch)\n    const unreported = await attemptAll(",
      },
    ],
    faults: ['kill', 'stop', 'cut'],
  },
]
