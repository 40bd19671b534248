// Controls a container that keeps its name, port and data. Any process can do this, with the docker command.
import { run } from './command.ts'
import { waitFor } from './deadline.ts'
import type { Control } from './servers.ts'

const STARTED_WITHIN_MS = 120_000
const STOPPED_WITHIN_S = 60
const ASKED_WITHIN_MS = 15_000
const LAST_LINES = '15'

/** Removes the container and its anonymous volumes, if they exist. */
export async function removeContainer(name: string): Promise<void> {
  await run('docker', ['rm', '--force', '--volumes', name]).catch(unlessMissing)
}

/** Runs a program in the container. The command line contains only the names of `environment`, because other users can read it. */
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

/** Controls a container. `isAnswering` returns the version of its server, or undefined if the server does not respond. */
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
          hopeless: () => (ended ? 'it has exited' : undefined),
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

/** True while the container's main process runs. */
export async function isRunning(name: string): Promise<boolean> {
  const format = ['--format', '{{.State.Running}}']
  const answer = await run('docker', ['container', 'inspect', ...format, name], { timeoutMs: ASKED_WITHIN_MS })
  return answer.trim() === 'true'
}

function unlessMissing(error: unknown): void {
  if (error instanceof Error && /no such container/i.test(error.message)) return
  throw error
}
