// `dead-letters list` over all queues prints the counts first.
import { contracts, type DeadLetter, type DeadLetterDesk } from '@ims/messaging'
import { expect, it } from '@jest/globals'
import { runDeadLetters } from '../src/dead-letters/verbs.ts'

const letter = (queue: string, number: number): DeadLetter => ({
  queue,
  id: `${queue}-${number}`,
  requestId: null,
  reason: 'invalid',
  error: null,
  failedAt: null,
  by: null,
  attempts: null,
  bytes: 2,
  encoding: 'utf8',
  body: '{}',
  shortened: false,
  properties: {},
  headers: {},
})

/** The lines that `list` prints when each queue has `each` dead letters. */
async function listed(each: number, ...args: string[]): Promise<string[]> {
  const none = async () => {
    throw new Error('a list must not change a queue')
  }
  const desk: DeadLetterDesk = {
    browse: async (queue, visit) => {
      for (let number = 0; number < each; number += 1) await visit(letter(queue, number), each, Buffer.alloc(0))
      return { total: each, seen: each }
    },
    redrive: none,
    discard: none,
  }
  let text = ''
  const out = async (more: string) => {
    text += more
  }
  const log = { info() {}, warn() {} }
  const stopping = new AbortController().signal
  expect(await runDeadLetters(['list', ...args], { desk, log, out, err() {}, stopping })).toBe(0)
  return text.split('\n')
}

it('`dead-letters list` prints the counts of all queues before the first dead letter', async () => {
  const lines = await listed(150)
  const counts = contracts.map(({ queue }) => queue)
  const { length } = counts
  expect(lines.slice(0, length)).toEqual(counts.map((queue) => `${queue}: 150 dead letters: invalid 150`))
  expect(lines.slice(length, length + 3)).toEqual([
    '',
    'healthcheck:',
    expect.stringMatching(/^healthcheck-0 {2}invalid /),
  ])
  expect(lines.filter((line) => /^\w+-\d+ /.test(line))).toHaveLength(100 * length)
})

it('`dead-letters list` prints one line for each queue if all are empty', async () => {
  expect(await listed(0)).toHaveLength(contracts.length + 1)
})
