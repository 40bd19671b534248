// docs/configuration.md matches the schemas, and no document names a variable that nothing reads.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from '@jest/globals'
import { CONFIGURATION_PAGE, variables, withCurrentTables } from './configuration-page.ts'
import { documents, ROOT } from './documents.ts'

/** Files with the variables that compose, `npm run up`, the pipelines and the commands read. */
const ELSEWHERE = [
  'dockercompose/docker-compose.yml',
  'up/src/suite/settings.ts',
  'testkit/src/servers/mode.ts',
  'pipeline_files/build.pipeline',
]

it('docs/configuration.md lists every variable with the default and description from its schema', () => {
  const page = readFileSync(CONFIGURATION_PAGE, 'utf8')
  expect(page).toBe(withCurrentTables(page))
})

/** A variable of MySQL's own client. */
const OF_MYSQL_CLIENT = 'MYSQL_PWD'

const elsewhere = [OF_MYSQL_CLIENT, ...ELSEWHERE.map((file) => readFileSync(join(ROOT, file), 'utf8'))].join('\n')
const OURS =
  /(?<![\w…])(?:ADMIN|CONSUMER|DEAD_LETTER|HTTP|INBOX|LISTING|LOG|MEMORY|MYSQL|PREFER|RABBITMQ|RPC)_[A-Z_]+\w/g

it.each(documents.filter((path) => !path.startsWith('docs/adr/')))('%s names only variables that exist', (path) => {
  const named = [...readFileSync(join(ROOT, path), 'utf8').matchAll(OURS)].map(([name]) => name.replace(/_FILE$/, ''))
  const unknown = named.filter((name) => !variables.has(name) && !new RegExp(`\\b${name}\\b`).test(elsewhere))
  expect(unknown).toEqual([])
})

/** The variables in the first column of the table below the heading `Settings`. */
function settingsOf(page: string): string[] {
  const text = readFileSync(join(ROOT, page), 'utf8')
  const [section = ''] = text.slice(text.indexOf('\n## Settings\n') + 4).split('\n## ')
  const cells = [...section.matchAll(/^\| (`[^|]+) \|/gm)].map(([, cell = '']) => cell)
  return cells.flatMap((cell) => [...cell.matchAll(/`(\w+)`/g)].map(([, name = '']) => name)).sort()
}

it('docs/compose.md lists the variables that compose reads', () => {
  const compose = readFileSync(join(ROOT, 'dockercompose/docker-compose.yml'), 'utf8')
  const read = new Set([...compose.matchAll(/\$\{(\w+)/g)].map(([, name = '']) => name))
  expect(settingsOf('docs/compose.md')).toEqual([...read].sort())
})

it('docs/local.md lists the variables that npm run up reads in addition to those of the services', () => {
  const settings = readFileSync(join(ROOT, 'up/src/suite/settings.ts'), 'utf8')
  const own = [...settings.matchAll(/^ {2}([A-Z_]+):/gm)].map(([, name = '']) => name)
  expect(settingsOf('docs/local.md')).toEqual([...own.filter((name) => !variables.has(name)), 'IMS_SERVICES'].sort())
})
