// A comment before each block of commands in a document names the tests that run it, or the reason why none does.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from '@jest/globals'
import { documents, ROOT } from './documents.ts'

/** The number of blocks that no test runs. Increase it only together with a reason in the document. */
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

/** The words that a test of these commands must contain: npm scripts, verbs of docker compose, and URL paths. */
function namesOf(code: string): string[] {
  return code.split('\n').flatMap((line) => {
    const command = line.replace(/^#.*| # .*$/g, '')
    const [, script] = /^(?:\w+=\S+ )?npm run (?:--silent )?([\w:-]+)/.exec(command) ?? []
    const [, verb] = /^docker compose (?:--profile \w+ )?(\w+)/.exec(command) ?? []
    const [, path] = /^ *curl .*?127\.0\.0\.1:\d+\/(\w+)/.exec(command) ?? []
    return [script, verb, path].filter((name) => name !== undefined)
  })
}

it('the documents have more than 40 blocks of commands', () => {
  expect(blocks.length).toBeGreaterThan(40)
})

describe.each(blocks.map((block) => [`${block.path}: ${block.code.split('\n')[0]}`, block] as const))(
  '%s',
  (_, { path, code, tests, reason }) => {
    it('names existing tests that contain its commands or the name of the document, or gives a reason', () => {
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
