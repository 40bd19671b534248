// The command line of `dead-letters`: the parsed result, and the error messages.
import { contracts } from '@ims/messaging'
import { describe, expect, it } from '@jest/globals'
import { parseDeadLetterArguments, WrongArguments } from '../src/dead-letters/arguments.ts'

const parse = (line: string) => parseDeadLetterArguments(line === '' ? [] : line.split(' '))

describe('the command line of dead-letters', () => {
  it('selects all queues by default, and accepts the name of a dead-letter queue too', () => {
    const queues = contracts.map(({ queue }) => queue)
    expect(parse('list')).toEqual({ verb: 'list', queues, limit: 100 })
    expect(parse('export create_item.dead-letter')).toEqual({ verb: 'export', queues: ['create_item'] })
  })

  it('selects messages by id, by reason or all, with --limit as the maximum', () => {
    const redrive = { verb: 'redrive', queue: 'create_item', dryRun: false, max: undefined, isWaiting: true }
    expect(parse('redrive create_item --all')).toEqual({ ...redrive, choice: { by: 'all' } })
    expect(parse('redrive create_item --id a --id b')).toEqual({
      ...redrive,
      choice: { by: 'id', ids: new Set(['a', 'b']) },
    })
    expect(parse('redrive create_item --reason invalid --limit 5 --dry-run')).toEqual({
      ...redrive,
      choice: { by: 'reason', reason: 'invalid' },
      dryRun: true,
      max: 5,
      isWaiting: false,
    })
    expect(parse('redrive create_item --all --no-wait')).toMatchObject({ isWaiting: false })
  })

  it('is parsed as help without arguments and with --help', () => {
    for (const line of ['', '--help', 'redrive --help']) expect(parse(line)).toEqual({ verb: 'help' })
  })

  it('accepts a discard with --yes, or as a dry run', () => {
    expect(parse('discard create_item --all --yes')).toMatchObject({ verb: 'discard', dryRun: false })
    expect(parse('discard create_item --all --dry-run')).toMatchObject({ verb: 'discard', dryRun: true })
  })

  it.each([
    ['discard create_item --all', 'add --yes'],
    ['redrive create_item', 'select dead letters with one of --id, --reason, --all'],
    ['redrive create_item --all --id x', 'select dead letters with one of'],
    ['redrive create_item --all --yes', 'redrive takes no --yes'],
    ['discard create_item --all --yes --no-wait', 'discard takes no --no-wait'],
    ['redrive amq.topic --all', 'there is no queue "amq.topic"; the queues are healthcheck, create_item'],
    ['redrive', 'redrive needs a queue'],
    ['show', 'show needs an id'],
    ['list create_item --limit x', '--limit must be a whole number, not "x"'],
    ['list create_item --limit -1', '--limit'],
    ['purge create_item', 'there is no verb "purge"'],
    ['__proto__', 'there is no verb "__proto__"'],
    ['list create_item two', 'list takes one argument, not 2'],
    ['list --force', "Unknown option '--force'"],
  ])('rejects `%s` with an error: %s', (line, why) => {
    expect(() => parse(line)).toThrow(WrongArguments)
    expect(() => parse(line)).toThrow(why)
  })
})
