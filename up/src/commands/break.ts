// `npm run break`: freezes a server or a service of the running suite, prints commands to watch the effect, and heals it.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { type ServiceName, serviceNames } from '@ims/accounts/suite'
import { isAlive, signalProcess } from 'testkit/processes/process-identity'
import { ROOT } from 'testkit/runs/jest'
import type { Breakage } from '../break/healer.ts'
import { composeRuns, suiteMode } from '../suite/compose-suite.ts'
import { imsSuiteOrExplain } from '../suite/ims.ts'
import { readState, type SuiteState } from '../suite/state.ts'

const EXIT_FAILURE = 1
const EXIT_USAGE = 64
const EXIT_UNAVAILABLE = 69
const EXIT_INTERRUPTED = 130
const DEFAULT_MS = 20_000
const MAX_MS = 600_000
const SERVERS = { mysql: ['MySQL'], broker: ['RabbitMQ'], network: ['RabbitMQ', 'MySQL'] } as const
const COMPOSE_NAMES = { RabbitMQ: 'rabbitmq', MySQL: 'mysql' } as const
type Target = keyof typeof SERVERS | ServiceName
const TARGETS = [...Object.keys(SERVERS), ...serviceNames]

const USAGE = `usage: npm run break -- WHAT [DURATION] [LATENCY]

  WHAT      ${TARGETS.join(' · ')}
  DURATION  such as 20s (the default), at most 10m
  LATENCY   such as 2s-latency: WHAT responds up to 2 s late instead of not at all

The processes are frozen: they keep their connections and do not respond. They are healed after DURATION, or at once when
this command exits, even if it is killed.
Exit codes: 0 healed · 64 wrong arguments · 69 WHAT does not run here · 130 interrupted, and healed
`

interface Wanted {
  readonly target: Target
  readonly forMs: number
  readonly latencyMs: number | undefined
}

/** Parses the arguments. Returns undefined if they are wrong. */
export function wantedBreak([name, ...rest]: readonly string[]): Wanted | undefined {
  const isTarget = (text: string | undefined): text is Target => text !== undefined && TARGETS.includes(text)
  const latency = rest.find((text) => text.endsWith('-latency'))
  const [duration, ...others] = rest.filter((text) => text !== latency)
  const forMs = duration === undefined ? DEFAULT_MS : milliseconds(duration)
  const latencyMs = latency === undefined ? undefined : milliseconds(latency.replace('-latency', ''))
  const isWrong = others.length > 0 || forMs === undefined || forMs > MAX_MS || (latency && latencyMs === undefined)
  return isTarget(name) && !isWrong ? { target: name, forMs, latencyMs } : undefined
}

function milliseconds(text: string): number | undefined {
  const [, count, unit = ''] = /^([1-9]\d{0,5})(ms|s|m)$/.exec(text) ?? []
  return count === undefined ? undefined : Number(count) * ({ ms: 1, s: 1_000, m: 60_000 }[unit] ?? 1)
}

export async function breakCommand(args: string[]): Promise<number> {
  const wanted = wantedBreak(args)
  if (wanted === undefined) {
    process.stderr.write(USAGE)
    return args.includes('--help') ? 0 : EXIT_USAGE
  }
  const suite = imsSuiteOrExplain(process.env)
  if (suite === undefined) return EXIT_FAILURE
  const what = await targetsOf(wanted, suite.directory)
  if (what === undefined) {
    process.stderr.write(`✗ ${wanted.target} of this suite is not running: \`npm run up\` starts the suite\n`)
    return EXIT_UNAVAILABLE
  }
  return await brokenAndHealed(what, announcement(wanted, suite.http))
}

/** The processes or containers to freeze. They belong to the suite in this directory; no other process is ever frozen. */
async function targetsOf(wanted: Wanted, directory: string): Promise<Breakage | undefined> {
  const times = { forMs: wanted.forMs, ...(wanted.latencyMs === undefined ? {} : { latencyMs: wanted.latencyMs }) }
  const { target } = wanted
  const servers = target in SERVERS ? SERVERS[target as keyof typeof SERVERS] : undefined
  const state = readState(directory)
  if (state !== undefined && isAlive(state.supervisor)) {
    const processes = runningOf(state, servers ?? [target])
    return processes.length === 0 ? undefined : { processes, ...times }
  }
  if ((await suiteMode(process.env, directory)) !== 'docker') return undefined
  const services = servers?.map((name) => COMPOSE_NAMES[name]) ?? [target]
  for (const service of services) if (!(await composeRuns(service, process.env))) return undefined
  return { processes: [], compose: { directory: ROOT, services }, ...times }
}

function runningOf({ servers, services }: SuiteState, names: readonly string[]): Breakage['processes'] {
  const running = [...servers, ...services].filter(({ name }) => names.includes(name))
  return running.flatMap(({ process }) => (process !== null && isAlive(process) ? [process] : []))
}

function announcement({ target, forMs, latencyMs }: Wanted, http: string): string {
  const how = latencyMs === undefined ? 'does not respond' : `responds up to ${latencyMs} ms late`
  return [
    `${target} ${how} for ${forMs / 1_000} s. Ctrl-C heals it at once. To watch the effect in another terminal:`,
    '  npm run status               which services are not ready, and why',
    '  npm run logs                 the logs of the services',
    `  curl ${http}/messages/ID     the state of the message with this Message-Id: applied, refused or unknown`,
  ].join('\n')
}

/** Starts a separate process that ends the fault even if this process is killed. If that process exits first, this one ends the fault. */
async function brokenAndHealed(what: Breakage, announced: string): Promise<number> {
  const healer = spawn(process.execPath, [join(import.meta.dirname, '../break/healer.ts'), JSON.stringify(what)], {
    detached: true,
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  // The healer prints its first line when the freeze has taken effect.
  healer.stdout.once('data', () => process.stdout.write(`${announced}\n`))
  let isInterrupted = false
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => {
      isInterrupted = true
      healer.stdin.end()
    })
  const code = await new Promise<number | null>((resolve) => {
    healer.once('error', () => resolve(null))
    healer.once('exit', resolve)
  })
  for (const each of what.processes) signalProcess(each, 'SIGCONT')
  if (code !== 0) {
    process.stderr.write('✗ the healing process was killed; for containers, run `docker compose unpause`\n')
    return EXIT_FAILURE
  }
  process.stdout.write('healed\n')
  return isInterrupted ? EXIT_INTERRUPTED : 0
}
