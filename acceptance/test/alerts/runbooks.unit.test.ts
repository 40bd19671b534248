// Every alert has a section in docs/operations, and the pages name only commands, services and files that exist.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from '@jest/globals'
import { parse } from 'yaml'
import { z } from 'zod'
import { parseDeadLetterArguments } from '../../../producer/src/dead-letters/arguments.ts'
import { workloads } from '../deploy/manifests.ts'
import { ROOT } from '../stack.ts'
import { alerts } from './alert-rules.ts'
import { EVENT_MINUTE, SCENARIOS, type Scenario } from './alert-scenarios.ts'
import { commands, DIRECTORY, pages, rowsOf } from './runbooks.ts'

const read = (path: string) => readFileSync(join(ROOT, path), 'utf8')
const commandsOf = (platform: string) => commands.filter(([of]) => of === platform).map(([, command]) => [command])

describe('each alert', () => {
  it.each(alerts.map(({ alert, annotations }) => [alert, annotations.runbook_url] as const))(
    '%s has a runbook section with its meaning, its impact, what to do, and when it is over',
    (alert, url) => {
      const [path = '', anchor] = url.split('#')
      expect(path).toMatch(/^docs\/operations\/[a-z-]+\.md$/)
      expect(anchor).toBe(alert.toLowerCase())
      const [, section = ''] = read(path).split(`\n## ${alert}\n`)
      for (const part of ['**Meaning.**', '**Impact.**', '**What to do.**', '**Over when**'])
        expect(section.split('\n## ')[0]).toContain(part)
      expect(read(join(DIRECTORY, 'README.md'))).toContain(alert)
    },
  )
})

/** The row of a scenario in monitoring.md: each alert with the minute by which it fires and the minute by which it has cleared. */
function rowOf({ name, firing, everyS = 10 }: Scenario): string {
  const minutes = firing.map(([minute, alerts]) => [((minute - EVENT_MINUTE) * everyS) / 10, alerts] as const)
  const names = new Set(firing.flatMap(([, alerts]) => alerts.filter((alert) => alert !== 'Watchdog')))
  const cells = [...names].map((alert) => {
    const first = minutes.findIndex(([, alerts]) => alerts.includes(alert))
    const cleared = minutes.slice(first).find(([, alerts]) => !alerts.includes(alert))
    return `${alert} ${minutes[first]?.[0]}${cleared === undefined ? '' : ` → ${cleared[0]}`}`
  })
  return `| ${name} | ${cells.join(', ') || 'none'} |`
}

it('the table of monitoring.md lists every tested scenario', () => {
  const rows = read(join(DIRECTORY, 'monitoring.md'))
    .split('\n')
    .filter((line) => line.startsWith('| '))
  expect(rows).toEqual(expect.arrayContaining(SCENARIOS.map(rowOf)))
})

describe('each page', () => {
  it.each(pages.filter(([page]) => page !== 'README.md'))(
    '%s has a table of three first commands for each platform',
    (_, text) => {
      expect(rowsOf(text).map((row) => row.length)).toEqual([3, 3, 3])
    },
  )

  it.each(pages)('%s does not mention the management UI of RabbitMQ', (_, text) => {
    expect(text).not.toMatch(/\bmanagement\b|15672|Get messages/i)
  })

  it.each(pages)('%s links only to existing files', (_, text) => {
    for (const [, link = ''] of text.matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g))
      expect([link, existsSync(join(ROOT, DIRECTORY, link))]).toEqual([link, true])
  })
})

describe('the first commands', () => {
  const { services } = z
    .object({ services: z.record(z.string(), z.unknown()) })
    .parse(parse(read('dockercompose/docker-compose.yml'), { merge: true }))
  const { scripts } = z.object({ scripts: z.record(z.string(), z.string()) }).parse(JSON.parse(read('package.json')))

  it.each(commandsOf('compose'))('%s names only existing services of compose', (command) => {
    if (command.startsWith('curl ') || command.startsWith('npm run ')) return
    const [, asked = ''] =
      /^docker compose (?:--profile observability )?(?:ps|logs(?: --\w+=\w+)+|exec(?: -T)?) (.*)$/.exec(command) ?? []
    const named = command.includes(' exec ') ? asked.split(' ').slice(0, 1) : asked.split(' ')
    expect(Object.keys(services)).toEqual(expect.arrayContaining(named))
  })

  it.each(commandsOf('Kubernetes'))('%s names only existing objects of the manifests', (command) => {
    if (command.startsWith('npm run ')) return
    const [, kind, name] = /(deployment|statefulset)\/([\w-]+)/.exec(command) ?? []
    const [, label] = /--selector=app.kubernetes.io\/name=([\w-]+)/.exec(command) ?? []
    const [, pod] = /exec ([\w-]+)-0 /.exec(command) ?? []
    const found = workloads.filter(({ name: own }) => [name, label, pod].includes(own))
    if (command.includes('--namespace ims') && !command.includes('prometheusrule')) expect(found).toHaveLength(1)
    if (kind !== undefined) expect(found[0]?.kind.toLowerCase()).toBe(kind)
  })

  it.each(commandsOf('local'))(
    '%s is an npm script of this project, or reads one of its ports or log files',
    (command) => {
      const [, script = ''] = /^npm run (?:--silent )?([\w-]+)/.exec(command) ?? []
      if (script !== '') return expect(Object.keys(scripts)).toContain(script)
      expect(command).toMatch(
        /^(curl (-i )?http:\/\/127\.0\.0\.1:(5000\/healthcheck|909[0-4]\/(readyz|metrics))|tail -n 50 \.local\/up\/(logs\/\w+\.log|servers\/(rabbitmq\/output|mysql\/mysqld)\.log))$/,
      )
    },
  )

  it.each(commands.filter(([, command]) => /dead-letters/.test(command)).map(([, command]) => [command]))(
    '%s is a valid dead-letters command that changes nothing',
    (command) => {
      const [, args = ''] = /dead-letters(?:\.ts| --) (.*)$/.exec(command) ?? []
      expect(['list', 'export']).toContain(parseDeadLetterArguments(args.split(' ')).verb)
    },
  )
})
