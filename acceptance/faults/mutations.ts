// The guarantees taken away one by one, to see the ledger go red: each is a change of one place in the source, made while it is loaded.

import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ROOT } from '../test/stack.ts'

export interface Mutation {
  readonly name: string
  /** The file it changes, from the root of the repository. */
  readonly file: string
  /** What stands there, exactly once. */
  readonly find: string
  readonly replace: string
  /** Words of the faults under which its harm shows soonest. */
  readonly mix: readonly string[]
}

export const mutations: readonly Mutation[] = [
  {
    name: 'confirms-off',
    file: 'messaging/src/publisher.ts',
    // Resolved as soon as it is written: what comes of it is nobody's business any more.
    find: "    this.#service.meter.observe('messages_unconfirmed', this.#unconfirmed.size)\n    // A lone",
    replace: '    setImmediate(resolve)\n    // A lone',
    mix: ['publishes swallowed', 'broker kill', 'AMQP black hole'],
  },
  {
    name: 'mandatory-off',
    file: 'messaging/src/publisher.ts',
    find: '{ mandatory: true, ...properties }',
    replace: '{ ...properties }',
    mix: ['queue deleted'],
  },
  {
    name: 'inbox-off',
    file: 'repository/src/inbox.ts',
    find: "await sql('INSERT INTO inbox (queue, message_id, fingerprint, outcome) VALUES ?', [rows])",
    replace: "await sql('INSERT IGNORE INTO inbox (queue, message_id, fingerprint, outcome) VALUES ?', [rows])",
    mix: ['killed between commit and ack', 'answer to a commit lost'],
  },
  {
    name: 'ack-before-commit',
    file: 'messaging/src/consumer.ts',
    find: '    const outcomes = await this.#outcomes(batch)',
    replace: '    for (const taken of batch) this.#ack(taken, false)\n    const outcomes = await this.#outcomes(batch)',
    mix: ['service kill', 'database kill', 'killed between commit', 'database connections killed'],
  },
  {
    name: 'stale-ack-guard-off',
    file: 'messaging/src/consumer.ts',
    find: "      if (session.over.signal.aborted) throw new Error('the channel is gone')\n      settle()",
    replace: '      if (this.#session) session = this.#session\n      settle()',
    mix: ['ack of a channel that is gone'],
  },
]

const PRELOAD = pathToFileURL(join(ROOT, 'acceptance', 'faults', 'mutate.mjs')).href

/** The environment in which a service is loaded with this mutation: nothing in the services knows of it. */
export function mutationEnvironment(mutation: Mutation | undefined): Record<string, string> {
  if (mutation === undefined) return {}
  const { file, find, replace } = mutation
  return {
    NODE_OPTIONS: `--import=${PRELOAD}`,
    IMS_MUTATION: JSON.stringify({ url: pathToFileURL(join(ROOT, file)).href, find, replace }),
  }
}
