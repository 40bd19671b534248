// The README's table of variables is the code's own: each with its default and what it is for.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { consumerEnvironment, rabbitmqEnvironment } from '@ims/messaging'
import { mysqlEnvironment, retentionEnvironment } from '@ims/repository'
import { environmentTable, runtimeSections } from '@ims/runtime'
import { expect, it } from '@jest/globals'
import { listingEnvironment } from '../../consumer_four/src/config.ts'
import { httpEnvironment } from '../../producer/src/config.ts'

const SECTIONS = [
  ['every service', runtimeSections('producer')],
  ['every service', { rabbitmqEnvironment }],
  ['producer', { httpEnvironment }],
  ['consumers', { consumerEnvironment }],
  ['consumers two to four', { mysqlEnvironment }],
  ['consumers two and three', { retentionEnvironment }],
  ['consumer four', { listingEnvironment }],
] as const

function expectedTable(): string {
  const rows = SECTIONS.flatMap(([whose, sections]) =>
    environmentTable(sections).map(
      ({ variable, fallback, description }) =>
        `| \`${variable}\` | ${fallback ?? 'required'} | ${whose} | ${description} |`,
    ),
  )
  return ['| variable | default | of | what |', '|---|---|---|---|', ...rows].join('\n')
}

it('lists every variable as the code has it', () => {
  const readme = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8')
  expect(readme).toContain(expectedTable())
})
