// One container that keeps its name, its port and its data: made once, then started, stopped and killed through the docker command.
import { run, succeeds } from './command.ts'
import { waitFor } from './deadline.ts'
import type { Control, OnProgress } from './servers.ts'

const PULLED_WITHIN_MS = 900_000
const STARTED_WITHIN_MS = 120_000
const STOPPED_WITHIN_S = 60
const ASKED_WITHIN_MS = 15_000
const LAST_LINES = '15'

export interface Recipe {
  readonly name: string
  readonly image: string
  readonly hostname: string
  readonly hostPort: number
  readonly containerPort: number
  /** Where the volume, which bears the container's name, is mounted. */
  readonly dataPath: string
  /** Handed over by name only: a command line can be read by everybody. */
  readonly environment: Readonly<Record<string, string>>
  readonly args: readonly string[]
  /** Copied in before the first start, so that it works on engines that do not share our files. */
  readonly file?: { readonly from: string; readonly to: string }
}

/** Makes the container unless it is there; it is not started yet. */
export async function makeContainer(recipe: Recipe, onProgress: OnProgress): Promise<void> {
  const { name, image, environment, file } = recipe
  if (await succeeds('docker', ['container', 'inspect', name], ASKED_WITHIN_MS)) return
  if (!(await succeeds('docker', ['image', 'inspect', image], ASKED_WITHIN_MS))) {
    onProgress(`pulling the image ${image}`)
    await run('docker', ['pull', '--quiet', image], { timeoutMs: PULLED_WITHIN_MS })
  }
  const env = { ...process.env, ...environment }
  await run('docker', ['create', ...creationFlags(recipe), image, ...recipe.args], { env })
  if (file !== undefined) await run('docker', ['cp', file.from, `${name}:${file.to}`])
}

/** Removes the container and its volume, if they are there. */
export async function removeContainer(name: string): Promise<void> {
  await run('docker', ['rm', '--force', name]).catch(unlessMissing)
  await run('docker', ['volume', 'rm', '--force', name]).catch(unlessMissing)
}

/** Runs a program in the container; `environment` is handed over by name only. */
export async function runInContainer(
  name: string,
  command: readonly string[],
  options: { input?: string; environment?: Readonly<Record<string, string>> } = {},
): Promise<string> {
  const { input, environment = {} } = options
  const flags = Object.keys(environment).flatMap((variable) => ['--env', variable])
  const env = { ...process.env, ...environment }
  if (input === undefined) return await run('docker', ['exec', ...flags, name, ...command], { env })
  return await run('docker', ['exec', '--interactive', ...flags, name, ...command], { input, env })
}

/** Control of a container in which a server is to answer `isAnswering`. */
export function controlOf(name: string, what: string, isAnswering: () => Promise<string | undefined>): Control {
  return {
    start: async () => {
      await run('docker', ['start', name])
      let ended = false
      try {
        await waitFor({
          what: `start of ${what} in container ${name}`,
          withinMs: STARTED_WITHIN_MS,
          logs: [],
          attempt: async () => {
            const version = await isAnswering()
            if (version === undefined) ended = !(await isRunning(name))
            return version
          },
          hopeless: () => (ended ? 'it has ended' : undefined),
        })
      } catch (error) {
        const log = await run('sh', ['-c', 'docker logs --tail "$0" "$1" 2>&1', LAST_LINES, name]).catch(() => '')
        const why = error instanceof Error ? error.message : String(error)
        throw new Error(`${why}\nThe end of docker logs ${name}:\n${log.trimEnd()}`, { cause: error })
      }
    },
    stop: async () => {
      await run('docker', ['stop', '--time', String(STOPPED_WITHIN_S), name]).catch(unlessMissing)
    },
    kill: async () => {
      if (await isRunning(name)) await run('docker', ['kill', name])
    },
  }
}

/** True while the container's main process lives. */
export async function isRunning(name: string): Promise<boolean> {
  const format = ['--format', '{{.State.Running}}']
  const answer = await run('docker', ['container', 'inspect', ...format, name], { timeoutMs: ASKED_WITHIN_MS })
  return answer.trim() === 'true'
}

function creationFlags({ name, hostname, hostPort, containerPort, dataPath, environment }: Recipe): string[] {
  return [
    ...['--name', name, '--hostname', hostname],
    ...['--publish', `127.0.0.1:${hostPort}:${containerPort}`],
    ...['--volume', `${name}:${dataPath}`],
    ...Object.keys(environment).flatMap((variable) => ['--env', variable]),
  ]
}

function unlessMissing(error: unknown): void {
  if (error instanceof Error && /no such (container|volume)/i.test(error.message)) return
  throw error
}
