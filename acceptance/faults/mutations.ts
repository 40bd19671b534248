// Mutations that each remove one guarantee, to prove that the ledger then fails. A mutation edits a source file while it is loaded.
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { leanNode } from 'testkit'
import { ROOT } from '../test/stack.ts'

export interface Edit {
  /** The text to replace, which must occur exactly once. */
  readonly find: string
  readonly replace: string
}

export interface Mutation {
  readonly name: string
  /** The file to change, relative to the root of the repository. */
  readonly file: string
  readonly edits: readonly Edit[]
  /** Words that select the faults that reveal the mutation fastest. */
  readonly mix: readonly string[]
}

export const mutations: readonly Mutation[] = [
  {
    name: 'confirms-off',
    file: 'messaging/src/outgoing/publisher.ts',
    edits: [
      {
        // A publish resolves as soon as it is written. The confirm is ignored.
        find: '    this.#measure()\n    try {',
        replace: '    setImmediate(resolve)\n    try {',
      },
    ],
    mix: ['publishes lost', 'broker kill', 'AMQP black hole'],
  },
  {
    name: 'mandatory-off',
    file: 'messaging/src/outgoing/publisher.ts',
    edits: [{ find: '{ mandatory: true, ...properties }', replace: '{ ...properties }' }],
    mix: ['queue deleted'],
  },
  {
    name: 'inbox-off',
    file: 'repository/src/inbox.ts',
    edits: [
      // Rows are still written, but lookups find nothing, and an existing row is no error.
      { find: 'if (identified.length === 0) return verdicts', replace: 'return verdicts' },
      { find: 'INSERT INTO inbox', replace: 'INSERT IGNORE INTO inbox' },
      { find: '  assertChanged(answer, values.length)\n', replace: '' },
    ],
    mix: ['killed between commit and ack', 'response to a commit lost'],
  },
  {
    name: 'adjustments-unguarded',
    file: 'repository/src/adjust.ts',
    edits: [
      // Every message is treated as new, and an existing movement is no error.
      { find: 'const verdict = verdicts.on(command)', replace: 'const verdict = undefined' },
      { find: 'if (applied !== undefined) return reportedAgain(messageId, body, applied)', replace: '' },
      { find: 'INSERT INTO movement', replace: 'INSERT IGNORE INTO movement' },
      { find: '    assertChanged(answer, rows.length)\n', replace: '' },
      { find: '  await verdicts.record(sql)\n  return outcomes', replace: '  return outcomes' },
    ],
    mix: ['killed between commit and ack', 'response to a commit lost'],
  },
  {
    name: 'ack-before-commit',
    file: 'messaging/src/incoming/consumer.ts',
    edits: [
      {
        // A message is acknowledged only once, so a later ack has no effect.
        find: '    const unreported = await attemptAll(',
        replace: "    this.#inFlight.leave('ack', batch)\n    const unreported = await attemptAll(",
      },
    ],
    mix: ['ack of a closed channel', 'service kill'],
  },
  {
    name: 'stale-ack-guard-off',
    file: 'messaging/src/incoming/in-flight.ts',
    edits: [
      // An ack goes to the newest channel of the queue instead of the channel that delivered the message.
      {
        find: '    this.#all.add(held)',
        replace: '    this.newest = held.session\n    this.#all.add(held)',
      },
      {
        find: '      const { channel } = session\n      this.#onChannel(session, () =>',
        replace:
          '      const now = this.newest ?? session\n      const { channel } = now\n      this.#onChannel(now, () =>',
      },
    ],
    mix: ['ack of a closed channel'],
  },
  {
    name: 'refusals-forgotten',
    file: 'repository/src/inbox.ts',
    edits: [{ find: 'if (hasId(command))\n', replace: 'if (hasId(command) && error === null)\n' }],
    mix: ['service kill'],
  },
  {
    name: 'keys-ignored',
    file: 'producer/src/routes/command-route.ts',
    edits: [{ find: 'if (key === undefined) return', replace: 'return' }],
    mix: ['service kill'],
  },
  {
    name: 'locks-kept-for-hours',
    file: 'repository/src/session.ts',
    edits: [{ find: 'wait_timeout: { value: IDLE_TIMEOUT_S }', replace: 'wait_timeout: { value: 28_800 }' }],
    mix: ['frozen inside'],
  },
]

const PRELOAD = pathToFileURL(join(ROOT, 'acceptance', 'faults', 'mutate.mjs')).href

/** The environment variables that start a service with this mutation. The services have no code for it. */
export function mutationEnvironment(mutation: Mutation | undefined): Record<string, string> {
  if (mutation === undefined) return {}
  const { file, edits } = mutation
  return {
    NODE_OPTIONS: `${leanNode.NODE_OPTIONS} --import=${PRELOAD}`,
    // Services without the mutation must not find the compiled code in the cache.
    NODE_COMPILE_CACHE: '',
    IMS_MUTATION: JSON.stringify({ url: pathToFileURL(join(ROOT, file)).href, edits }),
  }
}
