// Checks the text of the compose file and the Dockerfiles: the Dockerfiles are alike, and containers are restricted.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { services as suite } from '@ims/accounts/suite'
import { describe, expect, it } from '@jest/globals'
import { leanNode } from 'testkit'
import { parse } from 'yaml'
import { z } from 'zod'
import { ROOT, SERVICES } from '../stack.ts'

const read = (path: string) => readFileSync(join(ROOT, path), 'utf8')

const service = z.looseObject({
  image: z.string(),
  pull_policy: z.string().optional(),
  command: z.array(z.string()).optional(),
  extra_hosts: z.array(z.string()).optional(),
  init: z.boolean().optional(),
  pids_limit: z.int(),
  logging: z.object({ driver: z.literal('json-file'), options: z.record(z.string(), z.string()) }),
  profiles: z.array(z.string()).default([]),
  build: z.object({ context: z.string(), dockerfile: z.string() }).optional(),
  read_only: z.boolean().optional(),
  cap_drop: z.array(z.string()).optional(),
  security_opt: z.array(z.string()).optional(),
  mem_limit: z.string(),
  user: z.string().optional(),
  environment: z.record(z.string(), z.string()).default({}),
  volumes: z.array(z.string()).default([]),
  ports: z.array(z.string()).default([]),
  networks: z.array(z.string()).default([]),
})
const compose = z
  .looseObject({
    services: z.record(z.string(), service),
    networks: z.record(z.string(), z.looseObject({ internal: z.boolean().optional() }).nullable()),
    volumes: z.record(z.string(), z.null()),
    secrets: z.record(z.string(), z.object({ file: z.string() })),
  })
  .parse(parse(read('dockercompose/docker-compose.yml'), { merge: true }))
/** No registry has this name, so docker never pulls an image of another publisher in place of a missing one. */
const OURS = 'registry.invalid/ims/'
const services = Object.entries(compose.services)

describe('the Dockerfiles', () => {
  it('differ only in the name of the service and one comment', () => {
    const text = (name: string) => read(`${name}/Dockerfile`).replace(/: #+$/m, ': #').replaceAll(name, 'SERVICE_NAME')
    const [first, ...others] = SERVICES.map(text)
    for (const other of others) expect(other).toBe(first)
  })

  it('have different sizes, because BuildKit confuses files that have the same size and modification time', () => {
    const sizes = Object.fromEntries([...SERVICES, 'accounts'].map((name) => [read(`${name}/Dockerfile`).length, name]))
    expect(Object.values(sizes).sort()).toEqual([...SERVICES, 'accounts'].sort())
  })

  it('set the memory options of leanNode, with which services run outside containers', () => {
    const { NODE_COMPILE_CACHE: _, ...measured } = leanNode
    for (const [name, value] of Object.entries(measured))
      expect(read('producer/Dockerfile').split('\nFROM base\n').at(-1)).toContain(` ${name}=${value} `)
  })

  it('load early-signals.ts first, and compose runs the images with an init process, so that a signal during startup ends the service', () => {
    expect(read('producer/Dockerfile')).toContain('\nCMD ["node", "--import", "./runtime/src/early-signals.ts", ')
    expect(services.filter(([, { image, init }]) => image.startsWith(OURS) && init !== true)).toEqual([])
  })

  it('use the version of Node.js that package.json pins', () => {
    const { optionalDependencies } = z
      .object({ optionalDependencies: z.record(z.string(), z.string()) })
      .parse(JSON.parse(read('package.json')))
    const versions = ['producer', 'accounts'].map(
      (name) => /^ARG NODE_IMAGE=node:(.*)-bookworm-slim$/m.exec(read(`${name}/Dockerfile`))?.[1],
    )
    expect(new Set([...versions, ...Object.values(optionalDependencies)]).size).toBe(1)
  })

  it('remove the package manager', () => {
    for (const name of ['producer', 'accounts']) {
      const text = read(`${name}/Dockerfile`)
      const last = text.slice(text.lastIndexOf('\nFROM '))
      const base = /^FROM \$\{NODE_IMAGE\} AS base\n(?:.+\n)+/m.exec(text)?.[0] ?? ''
      expect(last.startsWith('\nFROM base\n') ? base : last).toContain('RUN rm -rf /usr/local/lib/node_modules')
    }
  })
})

describe('the compose file', () => {
  it('is included by docker-compose.yml in the root directory', () => {
    expect(parse(read('docker-compose.yml'))).toMatchObject({ include: ['dockercompose/docker-compose.yml'] })
  })

  it.each(services)(
    'gives %s a read-only file system, no capability, no password in its environment and a memory limit',
    (_, each) => {
      expect(each).toMatchObject({ read_only: true, cap_drop: ['ALL'], security_opt: ['no-new-privileges:true'] })
      expect(each.mem_limit).toMatch(/^\d+[mg]$/)
      // The Dockerfiles of our own images set the user 1000:1000.
      if (!each.image.startsWith(OURS)) expect(each.user).toMatch(/^(?!root$|0$)\w+$/)
      for (const [name, value] of Object.entries(each.environment))
        expect([name, /PASSWORD|SECRET/.test(name) && !value.startsWith('/run/accounts/')]).toEqual([name, false])
    },
  )

  it.each(services)('pins the image of %s, and never pulls our own images', (_, { image, pull_policy }) => {
    expect([image.startsWith(OURS), pull_policy]).toEqual([
      image.startsWith(OURS),
      image.startsWith(OURS) ? 'never' : undefined,
    ])
    if (image.startsWith(OURS)) expect(image.slice(OURS.length)).toMatch(/^\w+:\$\{IMS_TAG:-dev\}$/)
    else expect(image).toMatch(/^[\w/]+:v?\d+\.\d+[\w.-]*$/)
  })

  it.each(services)('limits the log and the processes of %s', (_, { logging, pids_limit }) => {
    expect(logging.options).toEqual({
      'max-size': expect.stringMatching(/^\d+m$/),
      'max-file': expect.stringMatching(/^\d+$/),
    })
    expect(pids_limit).toBeGreaterThan(0)
  })

  it('gives the broker the generated Erlang cookie, and binds Erlang’s ports to loopback', () => {
    const { command, environment, extra_hosts } = compose.services.rabbitmq ?? {}
    expect(command?.join(' ')).toContain('install -m 600 /run/accounts/erlang-cookie /var/lib/rabbitmq/.erlang.cookie')
    expect(environment).toMatchObject({
      ERL_EPMD_ADDRESS: '127.0.0.1',
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-kernel inet_dist_use_interface {127,0,0,1}',
    })
    expect(extra_hosts).toEqual(['rabbitmq:127.0.0.1'])
  })

  it('restarts both servers when accounts was updated, because they read their definitions only when they start', () => {
    for (const name of ['rabbitmq', 'mysql'])
      expect([name, compose.services[name]?.depends_on]).toEqual([
        name,
        { accounts: { condition: 'service_completed_successfully', restart: true } },
      ])
  })

  it('writes the URL of the webhook into the configuration of Alertmanager as it is, with its parameters', () => {
    const url = "https://example.org/hook?a=1&b=2%2F|c\\d&name=O'Brien"
    const script = z.array(z.string()).parse(compose.services.alertmanager?.entrypoint)[2] ?? ''
    const here = script
      .replaceAll('$$', '$')
      .replace('/etc/alertmanager/', join(ROOT, 'dockercompose/observability/alertmanager/'))
      .replace('>/tmp/alertmanager.yml', '')
      .replace(/exec alertmanager.*/, '')
    const written = execFileSync('sh', ['-euc', here], {
      env: { ...process.env, ALERT_WEBHOOK_URL: url },
      encoding: 'utf8',
    })
    expect([...written.matchAll(/url: '((?:[^']|'')*)'/g)].map(([, each]) => each?.replaceAll("''", "'"))).toEqual([
      url,
      url,
      url,
    ])
  })

  it('opens the API if API_KEYS is not set, supports a file of keys, and allows the host name producer by default', () => {
    expect(compose.services.producer?.environment).toMatchObject({
      // `-` instead of `:-`, so that an empty API_KEYS reaches the producer, which rejects it.
      API_KEYS: expect.stringMatching(/^\$\{API_KEYS-open\}$/),
      API_KEYS_FILE: expect.stringMatching(/^\$\{API_KEYS_FILE:\+\/run\/secrets\/api-keys\}$/),
      HTTP_ALLOWED_HOSTS: expect.stringMatching(/^\$\{HTTP_ALLOWED_HOSTS-producer\}$/),
    })
    expect(compose.secrets).toEqual({
      'api-keys': { file: expect.stringMatching(/^\$\{API_KEYS_FILE:-\/dev\/null\}$/) },
    })
  })

  it('publishes ports on loopback by default, and without a profile only the API and the management UI', () => {
    const published = services.flatMap(([name, { ports, profiles }]) => ports.map((port) => ({ name, port, profiles })))
    for (const { port } of published) expect(port).toMatch(/^(127\.0\.0\.1|\$\{HTTP_ADDRESS:-127\.0\.0\.1\}):/)
    expect(published.filter(({ profiles }) => profiles.length === 0).map(({ name }) => name)).toEqual([
      'rabbitmq',
      'producer',
    ])
  })

  it('keeps the database and the broker on networks without internet access', () => {
    expect(compose.networks).toMatchObject({ broker: { internal: true }, database: { internal: true } })
    // A port must be published through another network, because responses do not leave an internal one.
    const outside = compose.services.rabbitmq?.networks.filter((name) => compose.networks[name]?.internal !== true)
    expect(outside).toEqual(['management'])
    expect(compose.networks.management).toEqual({
      driver_opts: { 'com.docker.network.bridge.enable_ip_masquerade': 'false' },
    })
    const onDatabase = services.filter(([, { networks }]) => networks.includes('database')).map(([name]) => name)
    const withTables = suite.filter(({ tables }) => tables).map(({ name }) => name)
    expect(onDatabase).toEqual(['mysql', 'migrate', ...withTables, 'doctor'])
    expect(compose.services.mysql?.networks).toEqual(['database'])
  })

  it('mounts only existing files and declared volumes', () => {
    for (const mount of services.flatMap(([, { volumes }]) => volumes)) {
      const source = mount.split(':')[0] ?? ''
      if (source.startsWith('.'))
        expect([mount, existsSync(join(ROOT, 'dockercompose', source))]).toEqual([mount, true])
      else expect(Object.keys(compose.volumes)).toContain(source)
    }
  })

  it('mounts each accounts volume only in the container that fills it, in its owner, and in the doctor', () => {
    // The doctor runs only when an operator starts it, and must log in as every user.
    expect(compose.services.doctor?.profiles).toEqual(['doctor'])
    for (const volume of Object.keys(compose.volumes).filter((name) => name.startsWith('accounts-'))) {
      const owner = volume.replace('accounts-', '').replace('-', '_')
      const running = services.filter(([name]) => name !== 'doctor')
      const users = running.filter(([, { volumes }]) => volumes.some((mount) => mount.startsWith(`${volume}:`)))
      expect(users.map(([name]) => name)).toEqual(['accounts', owner])
    }
  })
})
