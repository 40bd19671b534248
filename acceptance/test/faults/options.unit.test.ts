// The options of `npm run faults`, and the command that it prints for repeating a run.
import { describe, expect, it } from '@jest/globals'
import { commandOf, faultsOf, type Given, readOptions } from '../../faults/options.ts'

const given = (...args: string[]): Given => {
  const read = readOptions(args)
  if (typeof read === 'string') throw new Error(read)
  return read
}
const again = (command: string) =>
  given(
    ...command
      .replace('npm run faults -- ', '')
      .split(' ')
      .map((word) => word.replaceAll('"', '')),
  )

describe('the command that repeats a run', () => {
  it.each([
    [[]],
    [['--seed', '7', '--minutes', '0.5', '--clients', '3', '--mutation', 'inbox-off']],
    [['--seed', '7', '--mix', 'broker,MySQL', '--database', 'galera']],
  ])('parses to the same options: %j', (args) => {
    const first = given(...args)
    expect(again(commandOf(first))).toEqual(first)
  })
  it('names the faults instead of the minutes if only some faults are injected', () => {
    const first = given('--seed', '7', '--minutes', '10')
    expect(commandOf(first, [3, 7])).toBe('npm run faults -- --seed 7 --only 3,7 --clients 12')
    expect(again(commandOf(first, [3, 7])).only).toEqual([3, 7])
    expect(again(commandOf(first, [])).only).toEqual([])
  })
})

describe('the options', () => {
  it.each([
    [['--only', '3,x'], /^--only: must be numbers/],
    [['--minutes', '0'], /^--minutes/],
    [['--mutation', 'nothing'], /^--mutation/],
    [['--unknown'], /--unknown/],
  ])('reject %j', (args, why) => {
    expect(readOptions(args)).toMatch(why)
  })
  it('select the faults of the mutation, unless --mix selects others', () => {
    const kinds = (...args: string[]) => faultsOf(given(...args)).map(({ kind }) => kind)
    expect(kinds('--mutation', 'mandatory-off')).toEqual(['queue deleted'])
    expect(kinds('--mutation', 'mandatory-off', '--mix', 'broker kill')).toEqual(['broker kill -9'])
    expect(kinds().length).toBeGreaterThan(40)
  })
})
