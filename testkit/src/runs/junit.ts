// Converts the results of jest to JUnit XML, for Jenkins and other CI servers.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative, resolve, sep } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { z } from 'zod'
import { ROOT } from './jest.ts'

const results = z.object({
  testResults: z.array(
    z.object({
      name: z.string(),
      message: z.string(),
      startTime: z.number(),
      endTime: z.number(),
      assertionResults: z.array(
        z.object({
          fullName: z.string(),
          status: z.string(),
          duration: z.number().nullish(),
          failureMessages: z.array(z.string()).nullable(),
        }),
      ),
    }),
  ),
})

type File = z.infer<typeof results>['testResults'][number]
type Test = File['assertionResults'][number]

/** Converts the output file of `jest --json --outputFile` to `<IMS_JUNIT>/<name>.xml`. Does nothing when IMS_JUNIT is not set. */
export function reportJunit(resultsFile: string, name: string, env: NodeJS.ProcessEnv): void {
  if (!env.IMS_JUNIT) return
  const directory = resolve(ROOT, env.IMS_JUNIT)
  mkdirSync(directory, { recursive: true })
  writeFileSync(join(directory, `${name}.xml`), junitXml(JSON.parse(readFileSync(resultsFile, 'utf8'))))
}

/** The JUnit document for one run of jest. `json` is the output of jest. */
export function junitXml(json: unknown): string {
  const suites = results.parse(json).testResults.map(suite)
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n${suites.join('')}</testsuites>\n`
}

function suite(file: File): string {
  const path = relative(ROOT, file.name).split(sep).join('/')
  const { assertionResults: tests } = file
  const cases = tests.map((test) => testcase(test, className(path)))
  // A file that could not be loaded has no test results. Without this case it would be missing from the report.
  const couldNotRun = tests.length === 0 && file.message !== ''
  if (couldNotRun) cases.push(broken(file.message, className(path)))
  const count = (matches: (test: Test) => boolean) => tests.filter(matches).length
  const attributes = {
    name: path,
    tests: cases.length,
    failures: count(({ status }) => status === 'failed'),
    errors: couldNotRun ? 1 : 0,
    skipped: count(wasNotRun),
    time: seconds(file.endTime - file.startTime),
    timestamp: new Date(file.startTime).toISOString().slice(0, -1),
  }
  return `<testsuite ${written(attributes)}>\n${cases.join('')}</testsuite>\n`
}

function testcase(test: Test, classname: string): string {
  const open = `<testcase ${written({ classname, name: test.fullName, time: seconds(test.duration ?? 0) })}`
  if (wasNotRun(test)) return `${open}><skipped/></testcase>\n`
  if (test.status === 'passed') return `${open}/>\n`
  const text = (test.failureMessages ?? []).join('\n')
  return `${open}><failure message="${escaped(firstLine(text))}">${escaped(text)}</failure></testcase>\n`
}

function broken(message: string, classname: string): string {
  const open = `<testcase ${written({ classname, name: 'the test file runs', time: seconds(0) })}`
  return `${open}><error message="${escaped(firstLine(message))}">${escaped(message)}</error></testcase>\n`
}

const wasNotRun = ({ status }: Test) => status !== 'passed' && status !== 'failed'

/**
 * The class of a test file: `messaging.settle unit` for `messaging/test/settle.unit.test.ts`. Jenkins uses the text before the
 * last dot as the package.
 */
function className(path: string): string {
  const [folder = '', ...rest] = path.replace(/\.test\.ts$/, '').split('/')
  return `${folder}.${rest.slice(-1).join('').replaceAll('.', ' ')}`
}

const seconds = (ms: number) => (ms / 1000).toFixed(3)

const firstLine = (text: string) => text.trim().split('\n')[0] ?? ''

function written(attributes: Readonly<Record<string, string | number>>): string {
  return Object.entries(attributes)
    .map(([name, value]) => `${name}="${escaped(String(value))}"`)
    .join(' ')
}

/** Escapes text. Removes characters that XML 1.0 forbids: lone surrogates, and control characters such as those in jest's coloured messages. */
function escaped(text: string): string {
  const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }
  return (
    stripVTControlCharacters(text)
      .toWellFormed()
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these characters are removed.
      .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '')
      .replace(/[&<>"]/g, (character) => entities[character] ?? character)
  )
}
