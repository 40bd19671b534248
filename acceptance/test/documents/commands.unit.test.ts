// Each block of commands in a document says, in a comment before it, which test runs it or why none does.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from '@jest/globals'
import { documents, ROOT } from './documents.ts'

/** A block that no test runs is a decision: raise this together with the reason in the document. */
const NOT_RUN = 12

const blocks = documents.flatMap((path) =>
  [...readFileSync(join(ROOT, path), 'utf8').matchAll(/^(.*)\n *```sh\n([\s\S]*?)^ *```$/gm)].map(
    ([, before = '', code = '']) => ({ path, code, ...markOf(before) }),
  ),
)

function markOf(line: string): { tests: readonly string[]; reason: string | undefined } {
  const [, kind, text = ''] = /^ *<!-- (run by|not run): (.+) -->$/.exec(line) ?? []
  return { tests: kind === 'run by' ? text.split(', ') : [], reason: kind === 'not run' ? text : undefined }
}

/** What a test that runs the command must name: the script of npm, the verb of compose or kubectl, the path of a URL. */
function namesOf(code: string): string[] {
  return code.split('\n').flatMap((line) => {
    const command = line.replace(/^#.*| # .*$/g, '')
    const [, script] = /^(?:\w+=\S+ )?npm run (?:--silent )?([\w:-]+)/.exec(command) ?? []
    const [, verb] = /^docker compose (?:--profile \w+ )?(\w+)/.exec(command) ?? []
    const [, path] = /^ *curl .*?127\.0\.0\.1:\d+\/(\w+)/.exec(command) ?? []
    return [script, verb, path].filter((name) => name !== undefined)
  })
}

it('there are blocks of commands', () => {
  expect(blocks.length).toBeGreaterThan(40)
})

describe.each(blocks.map((block) => [`${block.path}: ${block.code.split('\n')[0]}`, block] as const))(
  '%s',
  (_, { path, code, tests, reason }) => {
    it('is run by tests that name what it runs or the document, or says why not', () => {
      if (reason !== undefined) return expect(reason.length).toBeGreaterThan(10)
      expect(tests).not.toEqual([])
      expect(tests.filter((test) => !existsSync(join(ROOT, test)))).toEqual([])
      const sources = tests.map((test) => readFileSync(join(ROOT, test), 'utf8')).join('\n')
      const isReadByTest = sources.includes(path.split('/').at(-1) ?? path)
      expect(isReadByTest ? [] : namesOf(code).filter((name) => !sources.includes(name))).toEqual([])
    })
  },
)

it(`${NOT_RUN} blocks are not run by a test`, () => {
  expect(blocks.filter(({ reason }) => reason !== undefined)).toHaveLength(NOT_RUN)
})
