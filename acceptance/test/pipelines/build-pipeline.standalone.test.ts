// Runs build.pipeline in the simulator. The steps run in order, no faulty image is pushed, and no password is shown.
import { execFileSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { serviceNames } from '@ims/accounts/suite'
import { afterAll, beforeAll, describe, expect } from '@jest/globals'
import { itWith, type PipelineRun, ROOT, runPipeline, withoutSimulator } from './simulator.ts'

const test = itWith(withoutSimulator())
const REGISTRY = ['--env', 'IMS_REGISTRY=registry.example.org/team', '--credential', 'ims-registry']
const SHA = '0123456789abcdef0123456789abcdef01234567'

const build = (...options: readonly string[]) => runPipeline('build.pipeline', [...REGISTRY, '--sha', SHA, ...options])

/** The labels or commands of the steps that ran, in order. */
const steps = ({ events }: PipelineRun) =>
  events.filter(({ type }) => type === 'sh').map(({ label, script }) => label ?? script ?? '')
const agents = ({ events }: PipelineRun) =>
  events.filter(({ type }) => type === 'agent').map((event) => JSON.stringify(event.args))
const pushed = (run: PipelineRun) => run.events.some(({ script }) => script?.includes('docker push'))
const credentials = ({ events }: PipelineRun) => events.filter(({ type }) => type === 'credential')

/** The services, in the order in which a shell lists their folders. */
const SERVICES = [...serviceNames].sort()
const BUILDS = SERVICES.map((service) => `Build ${service}`)

describe('the build pipeline', () => {
  test('checks, tests, builds, scans and pushes, in this order, if no step fails', async () => {
    const run = await build()
    expect(run).toMatchObject({ result: 'SUCCESS', errors: [], objections: [] })
    expect(steps(run)).toEqual([
      'Find the services',
      'Read the commit id',
      'npm ci',
      'npm run check',
      'npm test',
      'Find the base image',
      ...BUILDS,
      'npm run test:containers',
      'List the packages',
      'Audit the packages',
      'Scan the images',
      'Push the images',
      'Remove the images',
    ])
    const results = run.events.filter(({ type }) => type === 'junit').map((event) => event.testResults)
    expect(results).toEqual(['reports/check/*.xml', 'reports/test/*.xml', 'reports/containers/*.xml'])
    const branches = run.events.filter(({ type }) => type === 'branch').map((event) => event.name)
    expect(branches).toEqual(SERVICES)
    expect(run.events.at(-1)?.type).toBe('deleteDir')
  })

  const failures = [
    ['the dependencies cannot be installed', '^npm ci$', []],
    ['the checks fail', '^npm run check$', []],
    ['the tests fail', '^npm test$', []],
    ['an image cannot be built', 'docker build', ['Build producer']],
    ['the containers fail their tests', '^npm run test:containers$', BUILDS],
    ['the scan fails', 'trivy image', BUILDS],
  ] as const
  for (const [what, command, images] of failures) {
    test(`stops before the push when ${what}, archives the reports and cleans up`, async () => {
      const run = await build('--fail', command)
      expect(run.result).toBe('FAILURE')
      expect(pushed(run)).toBe(false)
      expect(credentials(run)).toEqual([])
      expect([...new Set(steps(run))].filter((step) => step.startsWith('Build '))).toEqual(
        images.length === 1 ? BUILDS : images,
      )
      expect(run.events.map(({ type }) => type).slice(-3)).toEqual(['post', 'sh', 'deleteDir'])
      expect(run.events.some(({ type }) => type === 'archiveArtifacts')).toBe(true)
    })
  }

  for (const [what, options] of [
    ['a pull request', ['--pr', '7']],
    ['another branch', ['--branch', 'feature']],
  ] as const) {
    test(`pushes nothing for ${what}, needs no registry, and runs on an agent with the label ims-build-changes`, async () => {
      const run = await runPipeline('build.pipeline', ['--sha', SHA, ...options])
      expect(run).toMatchObject({ result: 'SUCCESS', objections: [] })
      expect(steps(run)).toContain('npm test')
      expect(pushed(run)).toBe(false)
      expect(credentials(run)).toEqual([])
      expect(agents(run)).toEqual([expect.stringContaining('ims-build-changes')])
      expect(agents(await build())).toEqual([expect.not.stringContaining('ims-build-changes')])
    })
  }

  test('retries a failed push', async () => {
    const run = await build('--fail', 'docker push', '--fail-times', '2')
    expect(run.result).toBe('SUCCESS')
    expect(run.events.filter(({ type }) => type === 'retry')).toHaveLength(2)
  })

  test('fails when a push fails for the third time', async () => {
    const run = await build('--fail', 'docker push')
    expect(run.result).toBe('FAILURE')
    expect(steps(run).filter((step) => step === 'Push the images')).toHaveLength(3)
  })

  test('fails in its first stage and names IMS_REGISTRY if there is no registry to push to', async () => {
    const run = await runPipeline('build.pipeline', [])
    expect(steps(run)).not.toContain('npm ci')
    expect(run.result).toBe('FAILURE')
    expect(run.events.find(({ type }) => type === 'error')?.message).toContain('IMS_REGISTRY must be a host')
    expect(pushed(run)).toBe(false)
    expect(credentials(run)).toEqual([])
  })
})

describe('the build pipeline with fakes of npm, docker and trivy', () => {
  let directory: string
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'ims-build-pipeline-'))
  })
  afterAll(() => rmSync(directory, { recursive: true }))

  const BASE = 'node@sha256:ba5e'
  const CLEAN = { answer: '{"auditReportVersion":2,"vulnerabilities":{}}', code: 0 }

  /**
   * Runs the pipeline and its commands in a new work tree. `trivy` is the exit code of the vulnerability scan, or undefined if
   * trivy is missing. `audit` is the output of npm audit and its exit code.
   */
  async function buildForReal(
    name: string,
    trivy: number | undefined,
    { audit = CLEAN, version = '0.68.2', branch = 'main' } = {},
  ) {
    const [workdir, shims] = [join(directory, name), join(directory, `${name}-shims`)]
    for (const path of [workdir, shims]) mkdirSync(path)
    const log = join(shims, 'log')
    const shim = (program: string, lines: string) => {
      const path = join(shims, program)
      writeFileSync(path, `#!/bin/bash\necho "${program} $*" >>'${log}'\n${lines}\n`)
      chmodSync(path, 0o755)
    }
    shim(
      'npm',
      `if [[ $1 == sbom ]]; then echo "{}"; fi; if [[ $1 == audit ]]; then echo '${audit.answer}'; exit ${audit.code}; fi`,
    )
    shim(
      'docker',
      `if [[ $1 == login ]]; then cat >'${shims}/login-input'; echo "$DOCKER_CONFIG" >'${shims}/login-directory'; fi
       for word in "$@"; do if [[ $word == reports/built/* ]]; then echo "sha256:built-\${word#reports/built/}" >"$word"; fi; done
       if [[ $* == *'{{index .RepoDigests 0}}'* ]]; then echo '${BASE}'; exit; fi
       if [[ $2 == inspect ]]; then name=\${!#}; echo "\${name%:*}@sha256:d1e2"; echo "elsewhere/\${name%:*}@sha256:d1e2"; fi`,
    )
    if (trivy !== undefined)
      shim(
        'trivy',
        `if [[ $* == --version ]]; then echo 'Version: ${version}'; fi
       if [[ $* == *--exit-code* ]]; then exit ${trivy}; fi`,
      )
    const git = (...args: readonly string[]) => execFileSync('git', args, { cwd: workdir, encoding: 'utf8' })
    for (const name of SERVICES) {
      mkdirSync(join(workdir, name))
      writeFileSync(join(workdir, name, 'Dockerfile'), 'ARG NODE_IMAGE=node:24\n')
    }
    cpSync(join(ROOT, 'kubernetes'), join(workdir, 'kubernetes'), { recursive: true })
    git('init', '--quiet')
    git('-c', 'user.name=a', '-c', 'user.email=a@example.org', 'commit', '--quiet', '--allow-empty', '-m', 'a')
    const sha = git('rev-parse', 'HEAD').trim()
    const run = await runPipeline('build.pipeline', [
      ...REGISTRY,
      '--branch',
      branch,
      '--exec',
      '--workdir',
      workdir,
      '--path',
      shims,
    ])
    const commands = readFileSync(log, 'utf8').trimEnd().split('\n')
    return { run, commands, sha, workdir, shims }
  }

  test('tags every image only with the commit, and neither shows nor keeps a password', async () => {
    const { run, commands, sha, workdir, shims } = await buildForReal('good', 0)
    expect(run).toMatchObject({ result: 'SUCCESS', objections: [] })
    const remote = (service: string) => `registry.example.org/team/ims/${service}:${sha}`
    expect(commands.filter((command) => command.startsWith('docker push'))).toEqual(
      SERVICES.map((service) => `docker push ${remote(service)}`),
    )
    for (const service of SERVICES) {
      const command = `docker build --progress plain --file ${service}/Dockerfile --tag registry.invalid/ims/${service}:${sha} --iidfile reports/built/${service} --build-arg NODE_IMAGE=${BASE} --build-arg VERSION=${sha} --build-arg REVISION=${sha} .`
      expect(commands).toContain(command)
      // The image is tagged by its id, because its name may refer to another image by then.
      expect(commands).toContain(`docker tag sha256:built-${service} ${remote(service)}`)
      expect(commands).toContain(`docker image rm --force ${remote(service)}`)
      expect(commands).toContainEqual(
        expect.stringMatching(new RegExp(`^trivy image .*--exit-code 10 registry.invalid/ims/${service}:${sha}$`)),
      )
    }
    for (const other of ['mysql:8.4', 'rabbitmq:4.3-management'])
      expect(commands).toContainEqual(expect.stringMatching(new RegExp(`^trivy image .*--exit-code 10 ${other}$`)))
    expect(commands.filter((command) => command.startsWith('docker pull'))).toEqual(['docker pull --quiet node:24'])
    expect(readFileSync(join(workdir, 'reports/base-images.txt'), 'utf8')).toBe(`node:24 ${BASE}\n`)
    expect(commands.join('\n')).not.toContain('latest')
    expect(readFileSync(join(workdir, 'reports/images.txt'), 'utf8').trimEnd().split('\n')).toEqual(
      SERVICES.map((service) => `registry.example.org/team/ims/${service}@sha256:d1e2`),
    )
    expect(JSON.parse(readFileSync(join(workdir, 'reports/sbom-npm.cdx.json'), 'utf8'))).toEqual({})

    const password = readFileSync(join(shims, 'login-input'), 'utf8').trim()
    expect(password).toMatch(/^SECRET-ims-registry-passwordVariable-/)
    expect(commands).toContain('docker login --username user-ims-registry --password-stdin registry.example.org')
    expect(commands.join('\n')).not.toContain(password)
    expect(run.log).not.toContain('****')
    expect(existsSync(readFileSync(join(shims, 'login-directory'), 'utf8').trim())).toBe(false)
  })

  test('scans all images, and pushes nothing if the scans find known vulnerabilities', async () => {
    const { run, commands } = await buildForReal('vulnerable', 10)
    expect(run.result).toBe('FAILURE')
    expect(run.events.find(({ type }) => type === 'error')?.message).toContain('known vulnerabilities (HIGH,CRITICAL)')
    expect(commands.filter((command) => command.includes('--exit-code 10'))).toHaveLength(7)
    expect(commands.filter((command) => /^docker (push|login)/.test(command))).toEqual([])
  })

  test('pushes nothing if the scan itself fails', async () => {
    const { run, commands } = await buildForReal('broken-scan', 1)
    expect(run.result).toBe('FAILURE')
    expect(run.events.find(({ type }) => type === 'error')?.message).toBe('the scan itself failed (exit code 1)')
    expect(commands.filter((command) => command.startsWith('docker push'))).toEqual([])
  })

  test('pushes nothing if a package has known vulnerabilities, and keeps the report', async () => {
    const answer = '{"auditReportVersion":2,"vulnerabilities":{"a":{"severity":"high"}}}'
    const { run, commands, workdir } = await buildForReal('vulnerable-package', 0, {
      audit: { answer, code: 1 },
    })
    expect(run.result).toBe('FAILURE')
    const message = 'an npm package has known vulnerabilities (high or worse), see above'
    expect(run.events.find(({ type }) => type === 'error')?.message).toBe(message)
    expect(commands.filter((command) => /^docker (push|login)/.test(command))).toEqual([])
    expect(readFileSync(join(workdir, 'reports/npm-audit.json'), 'utf8').trim()).toBe(answer)
  })

  const noAudit = { audit: { answer: '{"message":"405 Method Not Allowed"}', code: 1 } }
  const notAudited = 'the npm packages were not audited: the registry did not respond to npm audit'
  const notScanned = 'the images were not scanned: there is no trivy 0.68.2 on this agent'

  test('continues with warnings on a branch other than main if neither the audit nor the scan is possible', async () => {
    const { run } = await buildForReal('no-audit', undefined, { ...noAudit, branch: 'feature' })
    expect(run.result).toBe('SUCCESS')
    expect(run.log).toContain('npm audit (exit code 1) returned no report, but: {"message":"405 Method Not Allowed"}')
    const logged = run.events.filter(({ type }) => type === 'echo').map(({ message }) => message)
    expect(logged).toEqual([`WARNING: ${notAudited}`, `WARNING: ${notScanned}`])
    const descriptions = run.events.filter(({ type }) => type === 'description').map(({ value }) => value)
    expect(descriptions).toEqual([notAudited, expect.stringContaining(notScanned)])
  })

  test('pushes nothing if the registry does not support npm audit', async () => {
    const { run, commands } = await buildForReal('main-no-audit', 0, noAudit)
    expect(run.result).toBe('FAILURE')
    expect(run.events.find(({ type }) => type === 'error')?.message).toBe(notAudited)
    expect(commands.filter((command) => command.startsWith('docker push'))).toEqual([])
  })

  for (const [what, trivy, version] of [
    ['trivy is not installed', undefined, ''],
    ['trivy is not the pinned version', 0, '0.69.4'],
  ] as const) {
    test(`pushes nothing if ${what}`, async () => {
      const { run, commands } = await buildForReal(`main-${what.replaceAll(' ', '-')}`, trivy, { version })
      expect(run.result).toBe('FAILURE')
      expect(run.events.find(({ type }) => type === 'error')?.message).toBe(notScanned)
      expect(commands.filter((command) => /^(docker push|trivy image)/.test(command))).toEqual([])
    })
  }
})
