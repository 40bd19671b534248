// The documents match the repository: links resolve, commands exist, and code in a document equals the source.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { describe, expect, it } from '@jest/globals'
import { z } from 'zod'
import { ADJUSTMENT_REFUSALS, REFUSALS } from '../../../repository/src/contract.ts'
import { mutations } from '../../faults/mutations.ts'
import { anchors, codeBlocks, documents, ROOT } from './documents.ts'

const read = (path: string) => readFileSync(join(ROOT, path), 'utf8')

describe.each(documents)('%s', (path) => {
  const text = read(path)
  const prose = text.replace(/^```[\s\S]*?^```$/gm, '')

  it('links only to files and headings that exist', () => {
    const links = [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = '']) => link)
    const broken = links.filter((link) => {
      if (/^(https?|mailto):/.test(link)) return false
      const [file = '', anchor] = link.split('#')
      const target = file === '' ? path : normalize(join(dirname(path), file))
      if (!existsSync(join(ROOT, target))) return true
      return anchor !== undefined && target.endsWith('.md') && !anchors(read(target)).has(anchor)
    })
    expect(broken).toEqual([])
  })

  it('names only npm scripts that exist', () => {
    const { scripts } = z.object({ scripts: z.record(z.string(), z.string()) }).parse(JSON.parse(read('package.json')))
    const named = [...text.matchAll(/npm run (?:--silent )?([a-z][\w:-]*)/g)].map(([, name = '']) => name)
    expect(named.filter((name) => !(name in scripts))).toEqual([])
  })
})

describe('README.md', () => {
  const readme = read('README.md')

  it('has at most 1,300 words, and its first curl within the first 15 lines', () => {
    expect(readme.split(/\s+/).length).toBeLessThanOrEqual(1_300)
    const first = readme.split('\n').findIndex((line) => line.startsWith('curl '))
    expect(first).toBeGreaterThanOrEqual(0)
    expect(first).toBeLessThan(15)
  })

  it('shows the example unchanged, from the contract to the end', () => {
    const [shown = ''] = codeBlocks(readme, 'ts')
    const example = read('examples/one-message.ts')
    expect(shown).toBe(example.slice(example.indexOf('// The contract')))
    expect(example.split('\n').length).toBeLessThanOrEqual(35)
  })

  it('has the same figures as the pages that it cites', () => {
    const proofs = readme.slice(0, readme.indexOf('```mermaid'))
    const [, runs, minutes, injected, kinds] =
      /(\w+) runs of (\w+) minutes under load, with (\d+) faults of (\d+) kinds/.exec(proofs) ?? []
    expect([runs, minutes]).toEqual(['nine', 'ten'])
    const results = [
      ...read('docs/faults.md').matchAll(
        /^\| \d+ \| [\w ]+ \| RabbitMQ [^|]+\|[^|]+\|[^|]+\| (\d+) \| (\d+) \| 0 \| 0 \| 0 \|/gm,
      ),
    ]
    expect(results).toHaveLength(9)
    expect(Number(injected)).toBe(results.reduce((sum, [, faults]) => sum + Number(faults), 0))
    expect(Number(kinds)).toBe(Math.max(...results.map(([, , each]) => Number(each))))
    expect([/any of (\w+) guarantees/.exec(proofs)?.[1], mutations.length]).toEqual(['nine', 9])
    const rate = /([\d,]+) accepted creates and ([\d,]+) stored items[\s\S]+?([\d.]+) and ([\d.]+) of programs/
    const [accepted, stored, ofAccepted, ofStored] = (rate.exec(proofs) ?? []).slice(1)
    const table = read('docs/benchmarks.md')
    const line = (what: string, against: string, ours = '', ratio = '') =>
      new RegExp(`^\\| ${what} \\| ${ours} \\([^|]+\\| ${against} \\|[^|]+\\| ${ratio} \\|`, 'm')
    expect(table).toMatch(line('accept, 64 connections \\(requests/s\\)', 'Express \\+ amqplib', accepted, ofAccepted))
    expect(table).toMatch(line('drain 40,000 creates \\(messages/s\\)', 'floor with inbox', stored, ofStored))
  })

  it('follows a request through the producer, messaging, consumer_two and the repository', () => {
    const files = [...readme.slice(readme.indexOf('## Follow one request')).matchAll(/→ \[([^\]]+\.ts)\]/g)].map(
      ([, file = '']) => file,
    )
    expect(files.map((file) => file.split('/')[0])).toEqual([
      'producer',
      'producer',
      'messaging',
      'messaging',
      'consumer_two',
      'repository',
      'messaging',
    ])
  })
})

describe('docs/testing-consumers.md', () => {
  it('shows only test code that is in the repository', () => {
    for (const block of codeBlocks(read('docs/testing-consumers.md'), 'ts')) {
      const [, file = ''] = /^\/\/ (\S+\.ts)\n/.exec(block) ?? []
      expect(read(file)).toContain(block.slice(block.indexOf('\n') + 1))
    }
  })
})

describe('docs/dead-letters.md', () => {
  it('lists each reason for which a consumer refuses a message', () => {
    const reasons = read('docs/dead-letters.md').matchAll(/^\| ((?:`[\w-]+`(?:, )?)+) \|/gm)
    const listed = [...reasons].flatMap(([, cell = '']) => [...cell.matchAll(/`([^`]+)`/g)].map(([, reason]) => reason))
    const ofMessages = ['not-json', 'invalid', 'too-large', 'handler-failed', 'message-id-reused', 'no-message-id']
    expect(listed).toEqual(expect.arrayContaining([...REFUSALS, ...ADJUSTMENT_REFUSALS, ...ofMessages]))
  })
})

describe('docs/adr', () => {
  const files = readdirSync(join(ROOT, 'docs/adr')).sort()

  it('has files that are numbered from 1 without a gap and begin with their number', () => {
    expect(files.map((file) => Number(file.slice(0, 4)))).toEqual(files.map((_, index) => index + 1))
    for (const file of files)
      expect(read(`docs/adr/${file}`)).toMatch(new RegExp(`^# 0*${Number(file.slice(0, 4))}\\b`))
  })
})
