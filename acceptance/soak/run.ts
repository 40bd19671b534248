// One soak test: honest requests at a steady rate, attacks in turns, quiet periods between them, and the ledger's check at the end.
import { fork } from 'node:child_process'
import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Servers } from 'testkit'
import { History } from '../faults/history.ts'
import { type Found, type Judgement, judge } from '../faults/ledger.ts'
import { type Random, randomOf } from '../faults/random.ts'
import { findAll, MEMORY_MAX_BYTES } from '../faults/run.ts'
import { residentBytes, startTestbed, type Testbed } from '../faults/testbed.ts'
import type { HttpResult } from '../faults/workload/requests.ts'
import { SERVICES, type ServiceName } from '../test/stack.ts'
import { type Order, report } from './attacker.ts'
import { ATTACKERS_KEYS, type Attack, attacks, HOSTILE, OPERATORS_KEY } from './attacks.ts'
import { startHonest } from './honest.ts'

/** The limits that the suite must meet. */
export const LIMITS = {
  answeredWithinMs: 5_000,
  /** A rejection (503 `not-accepted`) must come at once. */
  refusedWithinMs: 1_000,
  residentBytes: MEMORY_MAX_BYTES,
  /** The time from the end of an attack until the suite has recovered. */
  recoveredWithinMs: 5_000,
  /** The suite has recovered if the p95 response time is at most this, or at most `quietTimes` times that before the first attack. */
  quietP95Ms: 500,
  quietTimes: 3,
  /** How much the memory of a process may grow from the quiet periods of the middle third of the run to those of the last third. */
  grownBytes: 24 * 1_048_576,
}

const PER_SECOND = 50
const BEFORE_MS = 10_000
const TURN_MS = 20_000
/** After the recovery time, response times are measured for this part of a quiet period. */
const MEASURED_MS = 5_000
/** A shorter run has one round that includes every attack. */
const SHORT_MINUTES = 3
/** The number of quiet periods per third that are needed to detect growing memory. */
const QUIET_PERIODS_MIN = 4
const MINUTE_MS = 60_000
const SAMPLED_EVERY_MS = 500
/** An attack must end within this time after its turn. */
const ENDED_WITHIN_MS = 30_000
const SLOW_BYTES_PER_S = 20_000
const ROWS = 15_000
const ROWS_AT_ONCE = 5_000

const HONEST_KEY = 'honest'

/**
 * The producer must respond within five seconds, so its timeouts are shorter. The heap is limited as in a container,
 * because otherwise V8 would use the memory of the machine as its limit.
 */
const ENVIRONMENT = {
  API_KEYS: [
    ...[HONEST_KEY, ...ATTACKERS_KEYS].map((key) => `${key} read,write ${hash('sha256', key)}`),
    `${OPERATORS_KEY} admin ${hash('sha256', OPERATORS_KEY)}`,
  ].join('\n'),
  RABBITMQ_CONFIRM_TIMEOUT_MS: '4000',
  NODE_OPTIONS: '--max-semi-space-size=4 --max-old-space-size=192',
}

export interface SoakOptions {
  readonly servers: Servers
  readonly seed: number
  readonly minutes: number
  /** Runs only the attacks whose names contain one of these words, or all attacks if the list is empty. */
  readonly mix?: readonly string[]
  readonly limits?: typeof LIMITS
  readonly onTurn?: (turn: Turn) => void
  readonly interrupted?: AbortSignal
}

/** Attacks that run at the same time. */
export interface Turn {
  readonly attacks: readonly string[]
  readonly fromMs: number
  readonly untilMs: number
}

export interface Violation {
  readonly atMs: number
  readonly what: string
  /** The measured value, such as a response time or the memory of a process. */
  readonly amount?: string
}

export interface Sample {
  readonly atMs: number
  readonly service: ServiceName
  readonly bytes: number
}

export interface Soak {
  readonly turns: readonly Turn[]
  /** Every honest request with its result. */
  readonly results: readonly HttpResult[]
  readonly samples: readonly Sample[]
  readonly violations: readonly Violation[]
  readonly judgement: Judgement
  readonly beforeP95Ms: number
  /** The p95 response time of each quiet period, in order. */
  readonly quietP95Ms: readonly number[]
  /** The longest time for which the event loop of this process was blocked, which increases the measured response times. */
  readonly stalledMs: number
  /** The fraction of time in which a process on the machine waited for a processor. Undefined if the system does not report it. */
  readonly waitedForCpu: number | undefined
}

/** Runs for `minutes`, drains the queues, and checks the result. Rejects if the suite does not drain, or if the run is interrupted. */
export async function runSoak(options: SoakOptions): Promise<Soak> {
  const testbed = await startTestbed(options.servers, { replicas: SERVICES, env: ENVIRONMENT })
  try {
    return await new Soaking(testbed, options).run()
  } finally {
    await testbed.stop()
  }
}

class Soaking {
  readonly #testbed: Testbed
  readonly #options: SoakOptions
  readonly #limits: typeof LIMITS
  readonly #history = new History()
  readonly #random: Random
  readonly #turns: Turn[] = []
  readonly #results: HttpResult[] = []
  readonly #samples: Sample[] = []
  readonly #violations: Violation[] = []
  readonly #quietPeriods: { fromMs: number; untilMs: number }[] = []

  constructor(testbed: Testbed, options: SoakOptions) {
    this.#testbed = testbed
    this.#options = options
    this.#limits = options.limits ?? LIMITS
    this.#random = randomOf(options.seed)
  }

  async run(): Promise<Soak> {
    const { stack } = this.#testbed
    await this.#fillInventory()
    const waitedBeforeMs = waitedForCpuMs()
    const delay = monitorEventLoopDelay()
    delay.enable()
    const sampling = setInterval(() => this.#sample(), SAMPLED_EVERY_MS)
    const sender = {
      http: stack.http,
      headers: { 'X-API-Key': HONEST_KEY },
      channel: () => stack.channel,
      history: this.#history,
      onResult: (result: HttpResult) => this.#onResult(result),
    }
    const honest = startHonest(sender, this.#random.fork(), PER_SECOND)
    const attackers = fork(fileURLToPath(new URL('attacker.ts', import.meta.url)), { execArgv: [] })
    let beforeP95Ms = 0
    try {
      // The first requests are not measured, because the services compile code while they process them.
      await this.#pause(BEFORE_MS / 2)
      const beganMs = this.#history.nowMs()
      await this.#pause(BEFORE_MS)
      beforeP95Ms = this.#p95Ms(beganMs)
      if (beforeP95Ms > this.#limits.quietP95Ms)
        throw new Error(
          `responses take ${ms(beforeP95Ms)} (p95) before the first attack: this machine is too busy for this test`,
        )
      await this.#rounds(attackers, beforeP95Ms)
    } finally {
      attackers.kill()
      clearInterval(sampling)
      delay.disable()
      await honest.stop()
    }
    this.#mustNotGrow()
    const waitedForCpu = (waitedForCpuMs() - waitedBeforeMs) / this.#history.nowMs()
    const judgement = judge(this.#history, honestOnly(await findAll(this.#testbed)))
    for (const { what, text, attempt } of judgement.violations)
      this.#violate(attempt?.atMs ?? this.#history.nowMs(), `${what}: ${text} ${attempt?.id ?? ''}`)
    return {
      turns: this.#turns,
      results: this.#results,
      samples: this.#samples,
      violations: this.#violations,
      judgement,
      beforeP95Ms,
      quietP95Ms: this.#quietPeriods.map(({ fromMs, untilMs }) => this.#p95Ms(fromMs, untilMs)),
      stalledMs: delay.max / 1e6,
      waitedForCpu: Number.isNaN(waitedForCpu) ? undefined : waitedForCpu,
    }
  }

  async #rounds(attackers: ReturnType<typeof fork>, beforeP95Ms: number): Promise<void> {
    const { minutes, mix = [] } = this.#options
    const isShort = minutes < SHORT_MINUTES
    const endsAtMs = this.#history.nowMs() + minutes * MINUTE_MS
    do {
      const groups = groupsOf(this.#random, mix)
      if (isShort) {
        const quietMs = this.#limits.recoveredWithinMs + MEASURED_MS
        const turnMs = Math.max(1_000, Math.floor((minutes * MINUTE_MS - quietMs) / groups.length))
        for (const group of groups) await this.#attack(attackers, group, turnMs)
        await this.#quietPeriod(beforeP95Ms)
      } else
        for (const group of groups) {
          await this.#attack(attackers, group, TURN_MS)
          await this.#quietPeriod(beforeP95Ms)
          if (this.#history.nowMs() > endsAtMs) return
        }
    } while (this.#history.nowMs() < endsAtMs)
  }

  async #attack(attackers: ReturnType<typeof fork>, group: readonly Attack[], forMs: number): Promise<void> {
    const { space, service } = this.#testbed.stack
    const { username, password, host, port, vhost } = space.rabbitmq
    const target = {
      http: this.#testbed.stack.http,
      admin: SERVICES.map((name) => service(name).admin),
      amqp: `amqp://${username}:${password}@${host}:${port}/${encodeURIComponent(vhost)}`,
    }
    const turn = {
      attacks: group.map(({ name }) => name),
      fromMs: this.#history.nowMs(),
      untilMs: Number.POSITIVE_INFINITY,
    }
    this.#turns.push(turn)
    const faults = group.map(({ fault }) => fault)
    const uplink = this.#testbed.amqp.get('producer')
    if (faults.includes('slow uplink'))
      uplink?.weather({ kind: 'bandwidth', bytesPerS: SLOW_BYTES_PER_S, towards: 'server' })
    if (faults.includes('consumer two frozen')) service('consumer_two').kill('SIGSTOP')
    try {
      const ends = group.map(({ name }) =>
        this.#runAttack(attackers, { name, forMs, target, seed: this.#random.whole(0, 2 ** 31) }),
      )
      await this.#pause(forMs)
      uplink?.weather(undefined)
      service('consumer_two').kill('SIGCONT')
      await Promise.all(ends)
    } finally {
      uplink?.weather(undefined)
      service('consumer_two').kill('SIGCONT')
      turn.untilMs = this.#history.nowMs()
    }
    this.#options.onTurn?.(turn)
  }

  /** Runs an attack in the attackers' process, and resolves when it has ended. An attack that could not run is a violation. */
  async #runAttack(attackers: ReturnType<typeof fork>, given: Order): Promise<void> {
    const signal = AbortSignal.timeout(given.forMs + ENDED_WITHIN_MS)
    const ended = new Promise<string | undefined>((resolve) => {
      const listen = (message: unknown) => {
        const { name, failure } = report.parse(message)
        if (name !== given.name) return
        attackers.off('message', listen)
        resolve(failure)
      }
      attackers.on('message', listen)
      signal.addEventListener('abort', () => resolve('it did not end in time'))
    })
    attackers.send(given)
    const failure = await ended
    if (failure !== undefined)
      this.#violate(this.#history.nowMs(), `the attack itself failed: ${given.name}: ${failure}`)
  }

  /** Checks that the suite recovers in time after an attack. */
  async #quietPeriod(beforeP95Ms: number): Promise<void> {
    const { recoveredWithinMs, quietP95Ms, quietTimes } = this.#limits
    await this.#pause(recoveredWithinMs)
    const fromMs = this.#history.nowMs()
    for (const name of SERVICES) {
      const why = await this.#testbed.stack.service(name).notReady()
      if (why !== undefined) this.#violate(fromMs, `${name} is not ready: ${why}`)
    }
    await this.#pause(MEASURED_MS)
    this.#quietPeriods.push({ fromMs, untilMs: this.#history.nowMs() })
    const p95Ms = this.#p95Ms(fromMs)
    const maxMs = Math.max(quietP95Ms, quietTimes * beforeP95Ms)
    if (p95Ms > maxMs) this.#violate(fromMs, `responses take ${ms(p95Ms)} (p95) instead of at most ${ms(maxMs)}`)
    const refused = this.#results.filter(({ sentAtMs, status }) => sentAtMs > fromMs && (status ?? 500) >= 500).length
    if (refused > 0) this.#violate(fromMs, `${refused} honest requests were not served`)
  }

  #onResult(result: HttpResult): void {
    this.#results.push(result)
    const { path, status, problem, sentAtMs, tookMs } = result
    const { answeredWithinMs, refusedWithinMs } = this.#limits
    const isRefused = problem === 'not-accepted'
    const response = `${path.split('?')[0]} got ${status ?? 'no response'} ${problem}`.trim()
    if (tookMs > answeredWithinMs || (isRefused && tookMs > refusedWithinMs))
      this.#violate(sentAtMs, `${response} late`, ms(tookMs))
    else if (status === undefined || problem === 'no-reply') this.#violate(sentAtMs, response)
  }

  #sample(): void {
    for (const service of SERVICES) {
      const bytes = residentBytes(this.#testbed.stack.service(service).pid)
      const atMs = this.#history.nowMs()
      this.#samples.push({ atMs, service, bytes })
      if (bytes === 0) this.#violate(atMs, `${service} has ended`)
      if (bytes > this.#limits.residentBytes) this.#violate(atMs, `${service} uses too much memory`, mib(bytes))
    }
  }

  #mustNotGrow(): void {
    const third = Math.floor(this.#quietPeriods.length / 3)
    // Growth is not checked in a short run, because the memory of a process grows after its start.
    if (third < QUIET_PERIODS_MIN) return
    for (const service of SERVICES) {
      const [middle, last] = [this.#quietPeriods.slice(third, 2 * third), this.#quietPeriods.slice(-third)].map(
        (periods) =>
          median(
            this.#samples
              .filter((each) => each.service === service && isWithin(each.atMs, periods))
              .map(({ bytes }) => bytes),
          ),
      )
      if ((last ?? 0) - (middle ?? 0) > this.#limits.grownBytes)
        this.#violate(
          this.#history.nowMs(),
          `${service} grew from ${mib(middle ?? 0)} to ${mib(last ?? 0)} between quiet periods`,
        )
    }
  }

  #violate(atMs: number, what: string, amount?: string): void {
    this.#violations.push({ atMs, what, ...(amount === undefined ? {} : { amount }) })
  }

  #p95Ms(fromMs: number, untilMs = Number.POSITIVE_INFINITY): number {
    return percentile(
      this.#results.filter(({ sentAtMs }) => sentAtMs >= fromMs && sentAtMs < untilMs).map(({ tookMs }) => tookMs),
      0.95,
    )
  }

  async #pause(forMs: number): Promise<void> {
    const { interrupted } = this.#options
    await pause(forMs, undefined, interrupted === undefined ? {} : { signal: interrupted })
  }

  /** Inserts rows for the listing. Their names start with HOSTILE, so the final check ignores them. */
  async #fillInventory(): Promise<void> {
    const name = `${HOSTILE} ${'x'.repeat(90)}`
    for (let from = 0; from < ROWS; from += ROWS_AT_ONCE) {
      const rows = Array.from({ length: ROWS_AT_ONCE }, (_, n) => [`H-${from + n}`, name, HOSTILE, 1.5, n])
      await this.#testbed.stack.pool.query('INSERT INTO inventory (sku, name, label, price, quantity) VALUES ?', [rows])
    }
  }
}

/** The total time in which a process waited for a processor. See https://docs.kernel.org/accounting/psi.html. */
function waitedForCpuMs(): number {
  try {
    return Number(/^some .*total=(\d+)/m.exec(readFileSync('/proc/pressure/cpu', 'utf8'))?.[1]) / 1_000
  } catch {
    return Number.NaN
  }
}

/** Groups the attacks of the mix at random, two or three to a turn. */
function groupsOf(random: Random, mix: readonly string[]): Attack[][] {
  const left = attacks.filter(({ name }) => mix.length === 0 || mix.some((word) => name.includes(word)))
  const groups: Attack[][] = []
  while (left.length > 0) {
    const group: Attack[] = []
    const wanted = 2 + (groups.length % 2)
    while (group.length < wanted && left.length > 0) group.push(...left.splice(random.whole(0, left.length - 1), 1))
    groups.push(group)
  }
  return groups
}

/** The data that belongs to honest clients. The rest belongs to attackers. */
function honestOnly(found: Found): Found {
  return {
    ...found,
    inserts: new Map([...found.inserts].filter(([name]) => !name.startsWith(HOSTILE))),
    table: new Map([...found.table].filter(([, name]) => !name.startsWith(HOSTILE))),
    // An honest listing never becomes a dead letter, because it expires.
    deadLetters: found.deadLetters.filter(({ queue, body }) => queue !== 'order_processing' && !body.includes(HOSTILE)),
  }
}

export const percentile = (all: readonly number[], fraction: number): number =>
  [...all].sort((one, other) => one - other)[Math.min(all.length - 1, Math.floor(all.length * fraction))] ?? 0
const median = (all: readonly number[]): number => percentile(all, 0.5)
const isWithin = (atMs: number, spans: readonly { fromMs: number; untilMs: number }[]): boolean =>
  spans.some(({ fromMs, untilMs }) => atMs >= fromMs && atMs < untilMs)
export const mib = (bytes: number): string => `${Math.round(bytes / 1_048_576)} MiB`
const ms = (duration: number): string => `${Math.round(duration)} ms`
