// Static checks of the pipelines: small steps with help pages, no secret in Groovy, no tag latest, and only existing names.
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { serviceNames } from '@ims/accounts/suite'
import { describe, expect, it } from '@jest/globals'
import { parseAllDocuments } from 'yaml'
import { z } from 'zod'

const ROOT = join(import.meta.dirname, '../../..')
const PIPELINES = join(ROOT, 'pipeline_files')
const LIBRARY = join(PIPELINES, 'shared_library')

const filesOf = (directory: string, ending: string) =>
  readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith(ending))
    .map((path) => join(directory, path))
const read = (path: string) => readFileSync(path, 'utf8')
const withoutComments = (text: string) => text.replace(/^\s*(\/\/|#).*$/gm, '')
const matches = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map(([, first = '']) => first)

const pipelines = filesOf(PIPELINES, '.pipeline')
const steps = filesOf(join(LIBRARY, 'vars'), '.groovy')
const groovy = [...pipelines, ...filesOf(LIBRARY, '.groovy')]
const scripts = filesOf(PIPELINES, '.sh')
const named = (paths: readonly string[]) => paths.map((path) => [path.slice(PIPELINES.length + 1), path] as const)
const code = [...groovy.filter((path) => !path.startsWith(join(LIBRARY, 'test'))), ...scripts]
  .map((path) => withoutComments(read(path)))
  .join('\n')

describe.each(named(steps))('%s', (_, path) => {
  const step = basename(path, '.groovy')
  const text = read(path)

  it('is one step of at most 30 lines, with defaults that its caller can override', () => {
    expect(text.trimEnd().split('\n').length).toBeLessThanOrEqual(30)
    expect(text).toContain('void call(Map config = [:]) {')
    expect(text).toMatch(/Map settings = \[.+\] \+ config\n/)
  })

  it('has a help page that starts with its call, and names every setting', () => {
    const [call = '', blank] = read(path.replace(/groovy$/, 'txt')).split('\n')
    expect(call.startsWith(`${step}([`)).toBe(true)
    expect(blank).toBe('')
    const defaults = /Map settings = \[(.+)\] \+ config/.exec(text)?.[1] ?? ''
    for (const name of matches(defaults, /(\w+): /g)) expect(call).toContain(`${name}: `)
  })

  it('is called in another Groovy file', () => {
    const others = groovy.filter((other) => other !== path).map(read)
    expect(others.join('\n')).toMatch(new RegExp(`\\b${step}\\(`))
  })
})

it('every step has a help page, and every help page belongs to a step', () => {
  const pages = filesOf(join(LIBRARY, 'vars'), '.txt').map((path) => path.replace(/txt$/, 'groovy'))
  expect(pages.sort()).toEqual([...steps].sort())
})

describe.each(named(groovy))('%s', (_, path) => {
  const text = withoutComments(read(path))

  it('has no double-quoted command, in which Groovy instead of the shell would insert values', () => {
    expect(matches(text, /^.*(\bsh\s*\(?\s*"|\bscript:\s*"|""").*$/gm)).toEqual([])
  })

  it('uses no credential variable in Groovy', () => {
    const variables = matches(code, /\b(?:\w+Variable|variable): '(\w+)'/g)
    expect(variables.length).toBeGreaterThan(0)
    for (const variable of variables) {
      expect(text.replaceAll(`ariable: '${variable}'`, '')).not.toMatch(new RegExp(`\\b${variable}\\b`))
    }
  })

  it('starts with a sentence that describes it, and has lines of at most 120 characters', () => {
    expect(read(path)).toMatch(/^\/\/ [A-Z].{20,}/)
    expect(
      read(path)
        .split('\n')
        .filter((line) => line.length > 120),
    ).toEqual([])
  })
})

describe.each(named(scripts))('%s', (_, path) => {
  const text = read(path)

  it('is an executable bash program', () => {
    execFileSync('bash', ['-n', path])
    expect(statSync(path).mode & 0o111).toBe(0o111)
    expect(text.startsWith('#!/usr/bin/env bash\n# ')).toBe(true)
  })

  it('stops at an unset variable, and does not print commands with their values', () => {
    expect(text).toMatch(/^set -e?uo pipefail$/m)
    expect(text).not.toMatch(/set -\w*x|xtrace/)
  })
})

describe('the names in the pipelines', () => {
  it('do not include the tag latest', () => {
    expect(matches(code, /^(.*\blatest\b.*)$/gm)).toEqual([])
  })

  it('include only existing npm scripts', () => {
    const manifest = z
      .object({ scripts: z.record(z.string(), z.string()) })
      .parse(JSON.parse(read(join(ROOT, 'package.json'))))
    const run = matches(code, /npm (?:run )?(test:\w+|test|check)\b/g)
    expect(new Set(run)).toEqual(new Set(['check', 'test', 'test:containers']))
    for (const name of run) expect(Object.keys(manifest.scripts)).toContain(name)
  })

  it('include every script of the library, and only existing ones', () => {
    const used = [
      ...matches(code, /libraryResource\('ims\/([\w-]+)\.sh'\)/g),
      ...matches(code, /\bscript: '([\w-]+)'/g),
    ]
    const present = filesOf(join(LIBRARY, 'resources/ims'), '.sh').map((path) => basename(path, '.sh'))
    expect([...new Set(used)].sort()).toEqual(present.sort())
  })

  it('of services come from the Dockerfiles, and are complete', () => {
    const script = join(LIBRARY, 'resources/ims/services.sh')
    const names = execFileSync('bash', [script], { cwd: ROOT, encoding: 'utf8' }).trim().split(' ')
    expect(names).toEqual([...serviceNames].sort())
  })

  it('of environments are those of the overlays', () => {
    const [choices = ''] = matches(read(join(PIPELINES, 'deployment.pipeline')), /choices: \[(.+)\]/g)
    expect(matches(choices, /'(\w+)'/g).sort()).toEqual(readdirSync(join(ROOT, 'kubernetes/overlays')).sort())
  })

  it('appear in docs/jenkins.md: credentials, labels of agents, and variables of Jenkins', () => {
    const page = read(join(ROOT, 'docs/jenkins.md'))
    const ids = ['ims-registry', 'ims-kubeconfig-']
    const labels = matches(code, /'(ims-(?:build|deployment)[\w-]*)'/g)
    expect(labels.sort()).toEqual(['ims-build', 'ims-build-changes', 'ims-deployment'])
    for (const name of [...ids, ...labels, 'IMS_REGISTRY', "lib('ims')", 'pipeline_files/shared_library']) {
      expect(page).toContain(name)
    }
    for (const id of matches(code, /'(ims-(?:registry|kubeconfig)[\w-]*)'/g)) expect(ids).toContain(id)
  })
})

describe('the deployment account', () => {
  const documents = parseAllDocuments(read(join(PIPELINES, 'deployment-account.yaml'))).map((one) => one.toJS())
  const role = z.object({
    kind: z.literal('ClusterRole'),
    rules: z.array(
      z.object({ resources: z.array(z.string()), resourceNames: z.array(z.string()), verbs: z.array(z.string()) }),
    ),
  })
  const rules = documents.flatMap((one) => role.safeParse(one).data?.rules ?? [])

  it('may read the Namespace and the volumes of the overlay single, and nothing else outside its namespace', () => {
    for (const { verbs } of rules) expect(verbs).toEqual(['get'])
    const volumes = matches(
      read(join(ROOT, 'kubernetes/overlays/single/storage.yaml')),
      /kind: PersistentVolume\nmetadata:\n {2}name: (\S+)/g,
    )
    expect(volumes).toHaveLength(6)
    expect(rules.map(({ resources, resourceNames }) => [resources, resourceNames])).toEqual([
      [['namespaces'], ['ims']],
      [['persistentvolumes'], volumes.sort()],
    ])
  })
})
