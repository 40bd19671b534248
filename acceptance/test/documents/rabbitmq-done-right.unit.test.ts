// The files, tests and faults that docs/rabbitmq-done-right.md names exist, and each entry is complete.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from '@jest/globals'
import { faults, faultsOfCluster } from '../../faults/faults/index.ts'
import { ROOT } from './documents.ts'

const page = readFileSync(join(ROOT, 'docs/rabbitmq-done-right.md'), 'utf8')
const entries = page.split(/^## (?=\d+\. )/m).slice(1)
const kinds = new Set([...faults, ...faultsOfCluster].map(({ kind }) => kind))

/** The text after `**label**:` in an entry. */
const lineOf = (entry: string, label: string) =>
  new RegExp(`^- \\*\\*${label}\\*\\*: (.+)$`, 'm').exec(entry)?.[1] ?? ''

it('docs/rabbitmq-done-right.md has twenty entries, numbered in order', () => {
  expect(entries.map((entry) => Number.parseInt(entry, 10))).toEqual(Array.from({ length: 20 }, (_, n) => n + 1))
})

describe.each(entries.map((entry) => [entry.split('\n')[0] ?? '', entry] as const))('%s', (_, entry) => {
  it('links to each public issue that it names', () => {
    const links = [...lineOf(entry, 'Reported').matchAll(/\[([\w./-]+)#(\d+)\]\(([^)]+)\)/g)]
    expect(links).not.toEqual([])
    for (const [, repository, number, url] of links)
      expect(url).toMatch(new RegExp(`^https://github\\.com/${repository}/(issues|pull)/${number}$`))
  })

  it('names an existing file of this repository', () => {
    const [, code = ''] = /^\[([^\]]+)\]/.exec(lineOf(entry, 'Code')) ?? []
    expect([code, code !== '' && existsSync(join(ROOT, code))]).toEqual([code, true])
  })

  it('names an existing test by its title', () => {
    const [, file = '', title = ''] = /^\[([^\]]+)\]\([^)]+\): `(.+)`$/.exec(lineOf(entry, 'Test')) ?? []
    expect(title).not.toBe('')
    const quoted = ["'", '"'].map((quote) => `${quote}${title}${quote}`)
    const test = readFileSync(join(ROOT, file), 'utf8')
    expect([title, quoted.some((each) => test.includes(each))]).toEqual([title, true])
  })

  it('names only existing faults of the ledger, or states that there is none', () => {
    const line = lineOf(entry, 'Fault')
    const named = [...line.matchAll(/`([^`]+)`/g)].map(([, kind = '']) => kind)
    if (named.length === 0) expect(line).toBe('none of its own')
    expect(named.filter((kind) => !kinds.has(kind))).toEqual([])
  })
})
