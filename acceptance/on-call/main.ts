// `npm run on-call`: common faults under a real Prometheus and Alertmanager, and the notifications that a person on call
// would get. Exit codes: 0 one notification for each cause · 1 a violation or a failed run · 69 a program is not installed.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { definitions } from '@ims/accounts/definitions'
import { eventually, freePorts, joinTwoNodes, type Rabbitmq, startServers, testSpace } from 'testkit'
import { interruptedBySignals, say } from '../faults/command-line.ts'
import { type Fired, type Observers, startObservers } from '../test/alerts/observers.ts'
import { call, item } from '../test/http.ts'
import { ROOT, SERVICES, type ServiceName, type Stack, startStackOn } from '../test/stack.ts'

const PER_SECOND = 20
const QUIET_MS = 60_000
const DOWN_MS = 120_000
/** BrokerNodeDown fires after 3 minutes. */
const NODE_DOWN_MS = 240_000
const DATABASE_DOWN_MS = 60_000
/** The longest time that alerts may take to clear after a fault. */
const CLEARED_WITHIN_MS = 480_000
/** Waits this long after the last alert has cleared, to notice alerts that fire late. */
const AFTER_MS = 20_000
const EXIT_UNAVAILABLE = 69
const SEVERITIES = ['warn', 'error', 'fatal']

interface Fault {
  readonly name: string
  readonly downMs: number
  /** The only alert that must be sent, and its receiver. No other alert may page. */
  readonly alert: string
  readonly receiver: 'pager' | 'warnings'
  /** The service whose `/readyz` is shown. */
  readonly concerns: ServiceName
  begin(): Promise<unknown>
  end(): Promise<unknown>
}

interface Outcome {
  readonly fault: Fault
  readonly beganMs: number
  readonly endedMs: number
  readonly readyz: string
  readonly firstLine: string
}

process.exitCode = await main()

async function main(): Promise<number> {
  const parent = join(ROOT, '.local')
  mkdirSync(parent, { recursive: true })
  const directory = mkdtempSync(join(parent, 'on-call-'))
  const servers = await startServers({ directory, mode: 'local', lifetime: 'process', onProgress: say })
  const interrupted = interruptedBySignals()
  let observers: Observers | undefined
  let stack: Stack | undefined
  let joined: Awaited<ReturnType<typeof joinTwoNodes>> = []
  let stopLoad = () => {}
  try {
    joined = await joinTwoNodes(directory)
    const nodes = await Promise.all([servers.rabbitmq, ...joined].map(observed))
    const adminPorts = await freePorts(SERVICES.length)
    const admin = Object.fromEntries(SERVICES.map((name, n) => [name, adminPorts[n] ?? 0]))
    const space = await testSpace(servers, 'on call')
    // Imports quorum queues with a replica on each node. Before RabbitMQ 4, the services would declare classic queues on one node.
    const queues = definitions.queues.map((queue) => ({ ...queue, vhost: space.rabbitmq.vhost }))
    await servers.rabbitmq.importDefinitions(JSON.stringify({ queues }))
    const env = {
      RABBITMQ_HOST: nodes.map(({ port }) => `127.0.0.1:${port}`).join(),
      RABBITMQ_TOPOLOGY: 'check',
    }
    const envOf = (name: string) => ({ ADMIN_PORT: String(admin[name.replace(/#.*/, '')]) })
    stack = await startStackOn(servers, space, { env, envOf })
    const metricsPorts = nodes.map(({ metricsPort }) => metricsPort)
    const started = await startObservers(join(directory, 'observers'), admin, metricsPorts)
    if (typeof started === 'string') {
      say(`✗ ${started}`)
      return EXIT_UNAVAILABLE
    }
    observers = started
    stopLoad = startLoad(stack)
    const versions = `RabbitMQ ${servers.rabbitmq.version}, MySQL ${servers.mysql.version}`
    say(`${versions}, three RabbitMQ nodes and one MySQL server, ${PER_SECOND} requests per second`)
    const faults = faultsOn(stack, nodes)
    await pause(QUIET_MS, undefined, { signal: interrupted })
    const outcomes: Outcome[] = []
    for (const fault of faults) outcomes.push(await play(fault, stack, observers, interrupted))
    return judge(outcomes, observers)
  } catch (error) {
    say(`✗ ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
    return 1
  } finally {
    stopLoad()
    await observers?.stop()
    // The stop fails while a server is down. Its error must not hide the reason why the run ended.
    await stack?.stop().catch((error: unknown) => say(`! ${error instanceof Error ? error.message : String(error)}`))
    for (const node of joined) await node.end()
    await servers.close({ deleteData: true })
    rmSync(directory, { recursive: true, force: true })
  }
}

type Node = Pick<Rabbitmq, 'port' | 'ctl' | 'kill' | 'start'> & { readonly metricsPort: number }

/** Makes a RabbitMQ node expose its metrics to Prometheus, now and after each restart. A private server does not expose them by default. */
async function observed(node: Pick<Rabbitmq, 'port' | 'ctl' | 'kill' | 'start'>): Promise<Node> {
  const [metricsPort = 0] = await freePorts(1)
  const serveMetrics = () =>
    node.ctl(
      'eval',
      `F = rabbit_plugins:enabled_plugins_file(), file:write_file(F, "[rabbitmq_prometheus]."),
      application:set_env(rabbitmq_prometheus, tcp_config, [{port, ${metricsPort}}, {ip, "127.0.0.1"}], [{persistent, true}]),
      rabbit_plugins:ensure(F).`,
    )
  await serveMetrics()
  return {
    port: node.port,
    metricsPort,
    ctl: (...args) => node.ctl(...args),
    kill: () => node.kill(),
    start: async () => {
      await node.start()
      await serveMetrics()
    },
  }
}

function faultsOn(stack: Stack, nodes: readonly Node[]): Fault[] {
  const { mysql } = stack.servers
  const [first] = nodes
  return [
    {
      name: 'consumer two killed, started again after 2 min',
      downMs: DOWN_MS,
      alert: 'ServiceDown',
      receiver: 'pager',
      concerns: 'consumer_two',
      begin: async () => stack.service('consumer_two').kill('SIGKILL'),
      end: () => stack.start('consumer_two'),
    },
    {
      name: 'the one of three RabbitMQ nodes that all services use killed, started again after 4 min',
      downMs: NODE_DOWN_MS,
      alert: 'BrokerNodeDown',
      receiver: 'warnings',
      concerns: 'producer',
      begin: async () => first?.kill(),
      end: async () => first?.start(),
    },
    {
      name: 'all three RabbitMQ nodes killed, started again after 2 min',
      downMs: DOWN_MS,
      alert: 'BrokerUnavailable',
      receiver: 'pager',
      concerns: 'producer',
      begin: () => Promise.all(nodes.map((node) => node.kill())),
      // The nodes start in parallel, because each one waits for the others.
      end: () => Promise.all(nodes.map((node) => node.start())),
    },
    {
      name: '60 s without the database',
      downMs: DATABASE_DOWN_MS,
      alert: 'DatabaseUnavailable',
      receiver: 'pager',
      concerns: 'consumer_two',
      begin: () => mysql.kill(),
      end: () => mysql.start(),
    },
  ]
}

/** Begins and ends a fault, then waits until no alert is firing. */
async function play(fault: Fault, stack: Stack, observers: Observers, signal: AbortSignal): Promise<Outcome> {
  const before = new Map(SERVICES.map((name) => [name, stack.lines(name).length]))
  const beganMs = Date.now()
  say(`${time(beganMs)} ${fault.name}`)
  await fault.begin()
  await pause(fault.downMs, undefined, { signal })
  const why = (await stack.service(fault.concerns).notReady()) ?? 'ready'
  const readyz = why.startsWith('TypeError') ? 'no response' : why
  await fault.end()
  const endedMs = Date.now()
  say(`${time(endedMs)} fault ended`)
  await eventually(async () => {
    await pause(1_000, undefined, { signal })
    await stack.ready()
    const firing = observers.firing()
    if (firing.length > 0) throw new Error(`still firing after ${fault.name}: ${firing.join(', ')}`)
  }, CLEARED_WITHIN_MS)
  await pause(AFTER_MS, undefined, { signal })
  const lines = SERVICES.flatMap((name) => stack.lines(name).slice(before.get(name)))
  const [first] = lines
    .filter(({ level }) => SEVERITIES.includes(String(level)))
    .sort((one, other) => Date.parse(String(one.time)) - Date.parse(String(other.time)))
  const firstLine =
    first === undefined ? 'none' : `${first.level} ${first.service ?? ''}: ${first.msg ?? first.message}`
  return { fault, beganMs, endedMs, readyz: shortened(readyz), firstLine: shortened(firstLine) }
}

/** Prints the table, and returns the exit code. */
function judge(outcomes: readonly Outcome[], { fired, notified }: Observers): number {
  say('| fault | alert | fired after | cleared after its end | sent | first log line | `/readyz` |')
  say('|---|---|---|---|---|---|---|')
  let failures = 0
  outcomes.forEach(({ fault, beganMs, endedMs, readyz, firstLine }, n) => {
    const isIts = ({ firedAtMs }: { firedAtMs: number }) =>
      firedAtMs >= (n === 0 ? 0 : beganMs) && firedAtMs < (outcomes[n + 1]?.beganMs ?? Number.POSITIVE_INFINITY)
    const sent = notified.filter(isIts)
    const how = ({ alert, labels }: Fired) =>
      sent
        .filter((each) => each.alert === alert && each.labels === labels)
        .map(({ receiver }) => (receiver === 'pager' ? 'a page' : 'a warning'))
        .join(', ') || 'nothing'
    for (const [place, each] of fired.filter(isIts).entries()) {
      const cleared = each.clearedAtMs === undefined ? 'not' : seconds(each.clearedAtMs - endedMs)
      const cells = [each.alert + each.labels, seconds(each.firedAtMs - beganMs), cleared, how(each)]
      const ofFault = place === 0 ? [firstLine, readyz] : ['', '']
      say(`| ${[place === 0 ? fault.name : '', ...cells, ...ofFault].join(' | ')} |`)
    }
    const counted = sent.filter(({ alert, receiver }) => receiver === 'pager' || alert === fault.alert)
    if (counted.length !== 1 || counted[0]?.alert !== fault.alert || counted[0].receiver !== fault.receiver) {
      failures += 1
      const found = counted.map(({ alert, receiver }) => `${alert} to ${receiver}`).join(', ') || 'nothing'
      say(`✗ ${fault.name}: must send ${fault.alert} once to ${fault.receiver}, and page nothing else. Sent: ${found}`)
    }
  })
  process.stdout.write(
    failures === 0 ? '✓ one notification for each cause\n' : `✗ ${failures} causes without exactly one notification\n`,
  )
  return failures === 0 ? 0 : 1
}

/** Sends creates, deletes, listings and health checks at a steady rate. Returns a function that stops them. */
function startLoad({ http }: Stack): () => void {
  let n = 0
  const requests = [
    () => call(`${http}/create_item`, { json: item(n) }),
    () => call(`${http}/create_item`, { json: item(n) }),
    () => call(`${http}/order_processing?limit=10`),
    () => call(`${http}/stock_management`, { json: { sku: item(n - 2).sku } }),
    () => call(`${http}/healthcheck`),
  ]
  const timer = setInterval(() => {
    n += 1
    requests[n % requests.length]?.().catch(() => {})
  }, 1_000 / PER_SECOND)
  return () => clearInterval(timer)
}

function time(ms: number): string {
  return new Date(ms).toISOString().slice(11, 19)
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1_000)} s`
}

function shortened(text: string): string {
  return text.replaceAll(/\s+/g, ' ').replaceAll('|', '\\|').slice(0, 160)
}
