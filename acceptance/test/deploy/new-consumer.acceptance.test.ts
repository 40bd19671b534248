// Runs `npm run new` in a copy of the repository: the new consumer passes the checks and handles a message, and a missing piece is reported.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { eventually, runToEnd, type Started, start } from 'testkit'
import { newConsumer } from '../../../up/src/new/consumer.ts'
import { type FileChange, textsAfter } from '../../../up/src/new/file-change.ts'
import { copyOfSources } from '../copied-sources.ts'
import { ROOT, type Stack, startStack } from '../stack.ts'
import { missingFor } from './suite-mirrors.ts'

const QUEUE = 'measure_something'
const CONSUMER = 'consumer_measured'
const PIECES = newConsumer(ROOT, QUEUE, CONSUMER)
/** The suite test cannot report these pieces as missing. It imports the first one, and the consumer's own test imports the other. */
const BY_OTHER_CHECKS = ['accounts/src/suite.ts', `${CONSUMER}/src/measure-something.ts`]
/** Each piece, with the text of its file without this piece. The text is undefined if the file would not exist. */
const CASES = PIECES.map((piece) => ({
  piece,
  file: piece.file,
  text:
    textsAfter(
      ROOT,
      PIECES.filter((each) => each !== piece),
    ).get(piece.file) ?? original(piece),
}))
type Case = (typeof CASES)[number]
const LIMIT_MS = 300_000

let copy: ReturnType<typeof copyOfSources>
let report: string
let adminPort: number

beforeAll(async () => {
  copy = copyOfSources()
  // The unit tests find the documents with git.
  execFileSync('git', ['init', '--quiet'], { cwd: copy.root })
  report = (await inCopy('up/src/main.ts', 'new', 'command', QUEUE, '--consumer', CONSUMER)).output
  adminPort = Number(/adminPort: (\d+)/.exec(readFileSync(join(copy.root, CONSUMER, 'src/main.ts'), 'utf8'))?.[1])
}, LIMIT_MS)
afterAll(() => copy.remove())

describe('the pieces that npm run new adds', () => {
  it('are listed file by file, with the parts that are left to write', () => {
    for (const { file, from } of PIECES)
      expect(report).toContain(`${from === undefined ? 'added  ' : 'changed'} ${file}\n`)
    expect(report).toContain('Left for you to write:\n- messaging/src/contracts.ts: the body and the result')
  })

  it(
    'pass the type check, the linter, and the unit tests of services and queues',
    async () => {
      expect(await inCopy('acceptance/test/documents/asyncapi-page.ts')).toMatchObject({ code: 0 })
      expect(await inCopy('node_modules/typescript/bin/tsc', '--noEmit', '-p', '.')).toEqual({ code: 0, output: '' })
      expect(await inCopy('node_modules/@biomejs/biome/bin/biome', 'check', '.')).toMatchObject({ code: 0 })
      const files = [
        'suite.unit',
        CONSUMER,
        'accounts/test',
        'observability',
        'compose-file',
        'manifests',
        'pipelines.unit',
        'licences',
        'documents',
      ]
      expect(await unitTests(...files)).toMatchObject({ code: 0 })
    },
    LIMIT_MS,
  )

  it('are not added a second time', async () => {
    const before = readFileSync(join(copy.root, 'accounts/src/suite.ts'), 'utf8')
    const again = await inCopy('up/src/main.ts', 'new', 'command', QUEUE, '--consumer', CONSUMER)
    expect(again).toEqual({ code: 1, output: `✗ the queue ${QUEUE} exists already\n` })
    expect(readFileSync(join(copy.root, 'accounts/src/suite.ts'), 'utf8')).toBe(before)
  })
})

describe('the new consumer, on real servers', () => {
  let stack: Stack
  let service: Started
  beforeAll(async () => {
    stack = await startStack('new_consumer', { services: [], migrate: false })
    const env = { PATH: process.env.PATH, ...stack.env }
    service = start({ command: [process.execPath, `${CONSUMER}/src/main.ts`], cwd: copy.root, env })
    await eventually(async () => expect((await fetch(`${admin()}/readyz`)).status).toBe(200))
  }, LIMIT_MS)
  afterAll(async () => {
    service.child.kill('SIGKILL')
    await stack.stop()
  }, LIMIT_MS)

  const log = () => service.out() + service.err()
  const admin = () => `http://127.0.0.1:${/"adminPort":(\d+)/.exec(log())?.[1]}`
  const handled = () =>
    log()
      .split('\n')
      .filter((line) => line.includes(`${QUEUE} received`))

  it('handles a message once, dead-letters a bad one, exports metrics for its queue, and stops cleanly', async () => {
    stack.channel.sendToQueue(QUEUE, Buffer.from('{"sku":"A"}'), { messageId: 'good' })
    stack.channel.sendToQueue(QUEUE, Buffer.from('{"sku":1}'), { messageId: 'bad' })
    await eventually(async () =>
      expect((await stack.deadLetters(QUEUE)).map(({ messageId }) => messageId)).toEqual(['bad']),
    )
    await eventually(() => expect(handled()).toEqual([expect.stringContaining('"messageId":"good"')]))
    const metrics = await (await fetch(`${admin()}/metrics`)).text()
    expect(metrics).toMatch(new RegExp(`ims_messages_\\w+\\{.*queue="${QUEUE}".*\\} 1\n`))
    service.child.kill('SIGTERM')
    expect(await service.ended).toMatchObject({ code: 0 })
    expect(await stack.depth(QUEUE)).toBe(0)
  })
})

describe('a missing piece', () => {
  const listed = () => ({ name: CONSUMER, adminPort, consumes: [QUEUE] })
  it('is not reported when all pieces exist', () => {
    expect(missingFor(listed(), copy.root)).toEqual([])
  })

  it.each(CASES.filter((each) => !needsOtherChecks(each)))('is reported by the suite test: $file', async (each) => {
    await without(each, async () => {
      const named = missingFor(listed(), copy.root).map((sentence) => sentence.split(' ')[0] ?? '')
      expect(named.filter((file) => each.file.startsWith(file))).not.toEqual([])
    })
  })

  it.each(CASES.filter(needsOtherChecks))(
    'is reported by the unit tests: $file',
    async (each) => {
      await without(each, async () => {
        const { code, output } = await unitTests('suite.unit', CONSUMER)
        expect(code).toBe(1)
        expect(output).toMatch(new RegExp(`${QUEUE}|measure-something|${CONSUMER}`))
      })
    },
    LIMIT_MS,
  )
})

function needsOtherChecks({ piece: { file, from = '' } }: Case): boolean {
  return BY_OTHER_CHECKS.includes(file) || from.startsWith('export const contracts = ')
}

/** Runs `during` in the copy without this piece. */
async function without({ file, text }: Case, during: () => Promise<void>): Promise<void> {
  const path = join(copy.root, file)
  const whole = readFileSync(path, 'utf8')
  if (text === undefined) rmSync(path)
  else writeFileSync(path, text)
  try {
    await during()
  } finally {
    writeFileSync(path, whole)
  }
}

function original({ file }: FileChange): string | undefined {
  const path = join(ROOT, file)
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined
}

const unitTests = (...files: string[]) =>
  inCopy(
    '--experimental-vm-modules',
    'node_modules/jest/bin/jest.js',
    '--selectProjects',
    'unit',
    '--forceExit',
    ...files,
  )

/** Runs Node in the copy. Returns its output and exit code. */
async function inCopy(...args: string[]): Promise<{ code: number | null; output: string }> {
  const { code, out, err } = await runToEnd({ command: [process.execPath, ...args], cwd: copy.root })
  return { code, output: out + err }
}
