// Parses the command line of `dead-letters` into a request, or a sentence that says what is wrong with it.
import { parseArgs } from 'node:util'
import { type Choice, deadLetterSource, deadLetterSources } from '@ims/messaging'

export const USAGE = `usage: npm run dead-letters -- <verb> …
  list [queue] [--limit N]       how many, why, and the oldest N of each queue (100 when left out)
  show <id>                      all there is to know of those with this id
  redrive <queue> WHICH          put them back on their queue, under the same id, and say what became of them; with
                                 --no-wait without waiting for that
  discard <queue> WHICH --yes    remove them for good
  export [queue]                 all of them as JSON, one on each line
WHICH is one of --id <id> (may be repeated), --reason <reason>, --all; with --limit N the oldest N of them; with
--dry-run nothing is changed. Queues: ${deadLetterSources.join(', ')}.`

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
      /** For the outcomes of a redrive. */
      readonly isWaiting: boolean
    }
  | { readonly verb: 'help' }

/** The command line is wrong. The message says how. */
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
    throw new WrongArguments('discard removes dead letters for good: see first with --dry-run, then say --yes')
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
  if (given.length !== 1) throw new WrongArguments('say which: one of --id, --reason, --all')
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
    throw new WrongArguments(`there is no queue "${name}"; there are ${deadLetterSources.join(', ')}`)
  return queue
}
