// The bill of materials, the audit and the licence page cover the same packages: those in the images.
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { promisify } from 'node:util'
import { gunzipSync } from 'node:zlib'
import { serviceNames } from '@ims/accounts/suite'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { z } from 'zod'
import { LIBRARY, ROOT } from './simulator.ts'

const SERVICES = serviceNames.join(' ')
const OWN = new Set([...serviceNames, 'accounts', 'messaging', 'repository', 'runtime'])

const listening = z.object({ port: z.int() })
const bill = z.object({
  components: z.array(z.object({ group: z.string().optional(), name: z.string(), version: z.string() })),
})
/** The body of an audit request of npm: the versions of each package. */
const auditRequest = z.record(z.string(), z.array(z.string()))

const onThePage = [...readFileSync(join(ROOT, 'docs/licences.md'), 'utf8').matchAll(/^\| (\S+) \| (\d\S*) \|/gm)]
  .map(([, name, version]) => `${name} ${version}`)
  .sort()

describe('the shipped packages', () => {
  let directory: string
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'ims-packages-'))
    for (const path of globSync(['package*.json', '.npmrc', '*/package.json'], { cwd: ROOT })) {
      cpSync(join(ROOT, path), join(directory, path))
    }
  })
  afterAll(() => rmSync(directory, { recursive: true }))

  const script = (name: string, environment: Record<string, string>) =>
    promisify(execFile)(join(LIBRARY, 'resources/ims', `${name}.sh`), {
      cwd: directory,
      env: { ...process.env, SERVICES, ...environment },
    })

  it('are on the licence page: more than 50, each once', () => {
    expect(onThePage.length).toBeGreaterThan(50)
    expect(new Set(onThePage).size).toBe(onThePage.length)
  })

  it('are the same in the bill of materials as on the licence page', async () => {
    await script('sbom', { SBOM: 'sbom.json' })
    const { components } = bill.parse(JSON.parse(readFileSync(join(directory, 'sbom.json'), 'utf8')))
    const others = components.filter(({ name }) => !OWN.has(name.replace('@ims/', '')))
    expect(others.map(({ name, version }) => `${name} ${version}`).sort()).toEqual(onThePage)
  })

  it('are the same in the audit as on the licence page', async () => {
    const asked: string[] = []
    const registry = createServer(async (request, response) => {
      const body = gunzipSync(await buffer(request))
      for (const [name, versions] of Object.entries(auditRequest.parse(JSON.parse(body.toString())))) {
        asked.push(...versions.map((version) => `${name} ${version}`))
      }
      response.setHeader('Content-Type', 'application/json').end('{}')
    })
    registry.listen(0, '127.0.0.1')
    await once(registry, 'listening')
    try {
      const { port } = listening.parse(registry.address())
      await script('audit', { SEVERITY: 'high', npm_config_registry: `http://127.0.0.1:${port}` })
    } finally {
      registry.close()
    }
    const others = asked.filter((line) => !OWN.has(line.replace('@ims/', '').split(' ')[0] ?? ''))
    expect(others.sort()).toEqual(onThePage)
  })
})

describe('the development packages', () => {
  const manifest = z.object({ overrides: z.record(z.string(), z.string()) })
  const lockfile = z.object({ packages: z.record(z.string(), z.object({ version: z.string().optional() })) })

  it.each(['handlebars', 'lodash', 'node-forge', 'qs'])(
    'have no version of %s older than the override in package.json',
    (name) => {
      const { overrides } = manifest.parse(JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')))
      const { packages } = lockfile.parse(JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')))
      const found = Object.entries(packages).filter(([path]) => path.endsWith(`node_modules/${name}`))
      expect(found.length).toBeGreaterThan(0)
      const min = overrides[name]?.replace('^', '') ?? ''
      for (const [path, { version = '' }] of found) {
        expect({ path, older: version.localeCompare(min, 'en', { numeric: true }) < 0 }).toEqual({
          path,
          older: false,
        })
        expect(min).not.toBe('')
      }
    },
  )

  it('run no install scripts: .npmrc sets ignore-scripts', () => {
    expect(readFileSync(join(ROOT, '.npmrc'), 'utf8').split('\n')).toContain('ignore-scripts=true')
  })
})
