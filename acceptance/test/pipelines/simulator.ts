// Runs the Jenkins pipelines without Jenkins. A simulator outside this repository checks and records their steps, or executes them.
import { execFileSync } from 'node:child_process'
import { existsSync, realpathSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { serviceNames } from '@ims/accounts/suite'
import { it } from '@jest/globals'
import { runToEnd } from 'testkit'
import { z } from 'zod'

export const ROOT = join(import.meta.dirname, '../../..')
export const LIBRARY = join(ROOT, 'pipeline_files/shared_library')
const SIMULATOR = join(ROOT, '../shared/verify/run-pipeline.groovy')

const record = z.object({
  result: z.string(),
  errors: z.array(z.object({ line: z.number(), message: z.string() })),
  objections: z.array(z.object({ rule: z.string(), message: z.string() })),
  events: z.array(
    z.looseObject({
      type: z.string(),
      stage: z.string(),
      script: z.string().optional(),
      label: z.string().optional(),
      status: z.int().optional(),
      message: z.string().optional(),
      stdout: z.string().optional(),
      stderr: z.string().optional(),
    }),
  ),
})

export interface PipelineRun extends z.infer<typeof record> {
  /** All commands with their output, and all messages, as one text. A secret in it appears as four asterisks. */
  readonly log: string
}

/** The reason why pipelines cannot run here, or undefined. */
export function withoutSimulator(): string | undefined {
  if (!existsSync(SIMULATOR)) return `there is no simulator ${SIMULATOR}`
  return withoutGroovy()
}

/** The reason why Groovy cannot run here, or undefined. */
export function withoutGroovy(): string | undefined {
  return hasGroovy() ? undefined : 'groovy is not installed (to install it: apt-get install groovy)'
}

/** `it` or, with a reason, a skipped test with the reason in its title. */
export function itWith(reason: string | undefined) {
  return (title: string, test: () => Promise<void> | void, timeoutMs?: number) =>
    reason === undefined ? it(title, test, timeoutMs) : it.skip(`${title} (skipped: ${reason})`, test)
}

/** Runs `build.pipeline`, `deployment.pipeline` or the file at a path with the simulator's options. Resolves with the record of the run. */
export async function runPipeline(name: string, options: readonly string[], env = {}): Promise<PipelineRun> {
  const file = resolve(ROOT, 'pipeline_files', name)
  const services = [...serviceNames].sort().join(' ')
  const own = [
    '--declarative',
    '--library',
    `ims=${LIBRARY}`,
    '--json',
    '-',
    '--out',
    `consumer_.*/Dockerfile=${services}`,
  ]
  const { out, err } = await groovy([SIMULATOR, ...own, ...options, file], env)
  if (!out.startsWith('{')) throw new Error(`the simulator did not run: ${out}${err}`)
  const run = record.parse(JSON.parse(out))
  const lines = run.events.flatMap((event) => [event.script, event.stdout, event.stderr, event.message])
  return { ...run, log: lines.filter((line) => line !== undefined).join('\n') }
}

export function groovy(args: readonly string[], env = {}) {
  return runToEnd({ command: ['groovy', ...args], env: { ...process.env, ...javaHome(), ...env } })
}

function hasGroovy(): boolean {
  try {
    execFileSync('groovy', ['--version'], { stdio: 'ignore', env: { ...process.env, ...javaHome() } })
    return true
  } catch {
    return false
  }
}

/** Debian's groovy looks for Java only at fixed paths. Java from another package can be at a different path. */
function javaHome(): NodeJS.ProcessEnv {
  if (process.env.JAVA_HOME !== undefined) return {}
  try {
    const java = execFileSync('sh', ['-c', 'command -v java'], { encoding: 'utf8' }).trim()
    return { JAVA_HOME: dirname(dirname(realpathSync(java))) }
  } catch {
    return {}
  }
}
