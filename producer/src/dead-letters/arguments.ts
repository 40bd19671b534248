// Parses the command line of `dead-letters`. An error is one sentence that says what is wrong.
import { parseArgs } from 'node:util'
import { type Choice, deadLetterSource, deadLetterSources } from '@ims/messaging'

export const USAGE = `usage: npm run dead-letters -- <verb> …
  list [queue] [--limit N]       shows the counts by reason, and the oldest N of each queue (100 by default)
  show <id>                      shows all details of the dead letters with this id
  redrive <queue> WHICH          publishes them to their queue again, under the same id, and reports the outcomes;
                                 --no-wait does not wait for the outcomes
  discard <queue> WHICH --yes    deletes them permanently
  export [queue]                 prints all of them as JSON, one per line
WHICH is one of --id <id> (can be repeated), --reason <reason>, --all. --limit N selects the oldest N of them.
--dry-run changes nothing. Queues: ${deadLetterSources.join(', ')}.`

export type Request =
  | { readonly verb: 'list'; readonly queues: readonly string[]; readonly limit: number }
  | { readonly verb: 'show'; readonly id: string }
  | { readonly verb: 'export'; readonly queues: readonly string[] }
  | {
      readonly verb: 'redrive' | 'discard'
      readonly queue: string
      readonly choice: Choice
      readonly dryRun: boolean
      readonly max: number | undefined
      /** Whether a redrive waits for the outcomes. */
      readonly isWaiting: boolean
    }
  | { readonly verb: 'help' }

/** The command line is wrong. The message says what to change. */
export class WrongArguments extends Error {
  override readonly name = 'WrongArguments'
}

const LIST_LIMIT = 100

const OPTIONS = {
  help: { type: 'boolean' },
  limit: { type: 'string' },
  id: { type: 'string', multiple: true },
  reason: { type: 'string' },
  all: { type: 'boolean' },
  'dry-run': { type: 'boolean' },
  yes: { type: 'boolean' },
  'no-wait': { type: 'boolean' },
} as const

const TAKES: Readonly<Record<string, readonly (keyof typeof OPTIONS)[]>> = {
  list: ['limit'],
  show: [],
  export: [],
  redrive: ['id', 'reason', 'all', 'limit', 'dry-run', 'no-wait'],
  discard: ['id', 'reason', 'all', 'limit', 'dry-run', 'yes'],
}

/** @throws WrongArguments */
export function parseDeadLetterArguments(args: readonly string[]): Request {
  const { values, positionals } = parsed(args)
  const [verb, ...rest] = positionals
  if (values.help || verb === undefined) return { verb: 'help' }
  const takes = Object.hasOwn(TAKES, verb) ? TAKES[verb] : undefined
  if (takes === undefined) throw new WrongArguments(`there is no verb "${verb}"`)
  for (const name of Object.keys(values))
    if (!takes.some((each) => each === name)) throw new WrongArguments(`${verb} takes no --${name}`)
  const [first] = rest
  if (rest.length > 1) throw new WrongArguments(`${verb} takes one argument, not ${rest.length}`)
  const limit = limitOf(values.limit)
  if (verb === 'list') return { verb, queues: queuesOf(first), limit: limit ?? LIST_LIMIT }
  if (verb === 'export') return { verb, queues: queuesOf(first) }
  if (first === undefined) throw new WrongArguments(`${verb} needs ${verb === 'show' ? 'an id' : 'a queue'}`)
  if (verb === 'show') return { verb, id: first }
  const dryRun = values['dry-run'] === true
  if (verb === 'discard' && !dryRun && values.yes !== true)
    throw new WrongArguments(
      'discard deletes dead letters permanently: check the selection with --dry-run, then add --yes',
    )
  const work = verb === 'discard' ? 'discard' : 'redrive'
  const isWaiting = verb === 'redrive' && !dryRun && values['no-wait'] !== true
  return { verb: work, queue: queueOf(first), choice: choiceOf(values), dryRun, max: limit, isWaiting }
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true, strict: true })
  } catch (error) {
    throw new WrongArguments(error instanceof Error ? error.message : String(error))
  }
}

function choiceOf({ id, reason, all }: { id?: string[]; reason?: string; all?: boolean }): Choice {
  const given = [id, reason, all].filter((each) => each !== undefined)
  if (given.length !== 1) throw new WrongArguments('select dead letters with one of --id, --reason, --all')
  if (id !== undefined) return { by: 'id', ids: new Set(id) }
  return reason === undefined ? { by: 'all' } : { by: 'reason', reason }
}

function limitOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (!/^\d{1,9}$/.test(text)) throw new WrongArguments(`--limit must be a whole number, not "${text}"`)
  return Number(text)
}

const queuesOf = (name: string | undefined): readonly string[] =>
  name === undefined ? deadLetterSources : [queueOf(name)]

function queueOf(name: string): string {
  const queue = deadLetterSource(name)
  if (queue === undefined)
    throw new WrongArguments(`there is no queue "${name}"; the queues are ${deadLetterSources.join(', ')}`)
  return queue
}
