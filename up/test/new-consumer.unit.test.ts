// `npm run new` rejects names that exist or are invalid, and writes either all files or none.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { newConsumer } from '../src/new/consumer.ts'
import { type FileChange, textsAfter, writeAll } from '../src/new/file-change.ts'

const ROOT = join(import.meta.dirname, '../..')

describe('npm run new', () => {
  it.each([
    ['create_item', 'consumer_nine', 'the queue create_item exists already'],
    ['adjust_everything', 'consumer_two', 'the service consumer_two exists already'],
    ['Adjust', 'consumer_nine', '"Adjust" is no name for a queue'],
    ['a.dead-letter', 'consumer_nine', '"a.dead-letter" is no name for a queue'],
    ['__proto__', 'consumer_nine', '"__proto__" is no name for a queue'],
    ['x'.repeat(33), 'consumer_nine', 'is no name for a queue'],
    ['adjust_everything', 'nine', '"nine" is no name for a consumer'],
    ['adjust_everything', 'consumer_a_b', '"consumer_a_b" is no name for a consumer'],
    ['adjust_everything', 'consumer_../x', 'is no name for a consumer'],
    [
      'listed_item',
      'consumer_nine',
      'the contract would be called listedItem, a word that messaging/src/contracts.ts uses already',
    ],
    ['service', 'consumer_nine', 'the contract would be called service, a word that'],
    ['return', 'consumer_nine', '"return" is no name for a queue: return is a word of TypeScript'],
    [
      'lines',
      'consumer_nine',
      'the contract would be called lines, a word that the new handler or its test uses already',
    ],
  ])('rejects the queue %s with the consumer %s', (queue, consumer, why) => {
    expect(() => newConsumer(ROOT, queue, consumer)).toThrow(why)
  })

  it('rejects a change that adds an existing file', () => {
    const changes = newConsumer(ROOT, 'adjust_everything', 'consumer_nine')
    const taken = { file: 'README.md', to: 'x' }
    expect(() => textsAfter(ROOT, [...changes, taken])).toThrow('README.md exists already')
  })

  it('rejects a change of a text that the file does not contain', () => {
    expect(() => textsAfter(ROOT, [{ file: 'README.md', from: 'not there', to: '' }])).toThrow(
      'README.md does not contain:\nnot there',
    )
  })
})

/** Files that are copies of those of the other consumers, with the names replaced. */
const COPIED = /\/(Dockerfile|package\.json)$|^kubernetes\/.*\/consumer-[^/]+\.yaml$/
/** Files that a command generates. */
const GENERATED = ['package-lock.json', 'kubernetes/overlays/observability/component/services-prometheusrule.yaml']

describe('a new message type with its own consumer', () => {
  const changes = newConsumer(ROOT, 'adjust_everything', 'consumer_nine').filter(
    ({ file }) => !COPIED.test(file) && !GENERATED.includes(file),
  )
  const linesOf = ({ from = '', to }: FileChange) => {
    const before = new Set(from.split('\n'))
    return to
      .trimEnd()
      .split('\n')
      .filter((line) => !before.has(line)).length
  }

  it('needs at most 200 lines in 12 files, not counting copied and generated files', () => {
    const files = new Set(changes.map(({ file }) => file))
    const lines = changes.reduce((sum, change) => sum + linesOf(change), 0)
    expect([...files].slice(12)).toEqual([])
    expect(lines).toBeLessThanOrEqual(200)
  })
})

describe('writeAll', () => {
  let root: string
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'ims-new-'))
    writeFileSync(join(root, 'old'), 'as it was')
  })
  afterEach(() => rmSync(root, { recursive: true }))

  it('writes files, and creates missing folders', () => {
    writeAll(
      root,
      new Map([
        ['old', 'new'],
        ['a/b/c', 'text'],
      ]),
    )
    expect([readFileSync(join(root, 'old'), 'utf8'), readFileSync(join(root, 'a/b/c'), 'utf8')]).toEqual([
      'new',
      'text',
    ])
  })

  it('restores all files and folders when a file cannot be written', () => {
    const texts = new Map([
      ['old', 'new'],
      ['a/b/c', 'text'],
      ['a/b/d', 'text'],
      ['old/is/a/file', 'text'],
    ])
    expect(() => writeAll(root, texts)).toThrow(/ENOTDIR|EEXIST/)
    expect(readdirSync(root)).toEqual(['old'])
    expect(readFileSync(join(root, 'old'), 'utf8')).toBe('as it was')
    expect(existsSync(join(root, 'a'))).toBe(false)
  })
})
