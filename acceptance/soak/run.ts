// One soak: honest requests at a steady rate, attacks in turns, a quiet period after each round, and the ledger's check at the end.
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
import type { Heard } from '../faults/workload/requests.ts'
import { residentBytes, startWorld, type World } from '../faults/world.ts'
import { SERVICES, type ServiceName } from '../test/stack.ts'
import { type Order, report } from './attacker.ts'
import { ATTACKERS_KEYS, type Attack, attacks, HOSTILE, OPERATORS_KEY } from './attacks.ts'
import { startHonest } from './honest.ts'

/** The requirements. */
export const LIMITS = {
  answeredWithinMs: 5_000,
  /** A rejection (503 `not-accepted`) must come at once. */
  refusedWithinMs: 1_000,
  residentBytes: MEMORY_MAX_BYTES,
  /** From the end of an attack until the suite has recovered. */
  recoveredWithinMs: 5_000,
  /** Recovered: 95 of 100 responses take no longer than this, or than `calmTimes` as long as before the first attack. */
  calmP95Ms: 500,
  calmTimes: 3,
  /** How much a process may grow, from the quiet periods of the run's middle third to those of its last third. */
  grownBytes: 24 * 1_048_576,
}

const PER_SECOND = 50
const BEFORE_MS = 10_000
const TURN_MS = 20_000
/** The part of a quiet period after the recovery time, in which response times are measured. */
const MEASURED_MS = 5_000
/** A shorter run has one round that includes every attack. */
const SHORT_MINUTES = 3
/** The number of quiet periods per third that are needed to detect growing memory. */
const CALMS_MIN = 4
const MINUTE_MS = 60_000
const SAMPLED_EVERY_MS = 500
/** An attack must end by itself within this time after its turn. */
const ENDED_WITHIN_MS = 30_000
const SLOW_BYTES_PER_S = 20_000
const ROWS = 15_000
const ROWS_AT_ONCE = 5_000

const HONEST_KEY = 'honest'

/**
 * An honest client expects its response within five seconds, so the producer's timeouts are shorter. Memory is limited
 * as in a container; otherwise V8 would assume the machine's.
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
  /** Only attacks whose name contains one of these words. All if empty. */
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
  /** The highest value seen, a duration or an amount. */
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
  readonly heard: readonly Heard[]
  readonly samples: readonly Sample[]
  readonly violations: readonly Violation[]
  readonly judgement: Judgement
  readonly beforeP95Ms: number
  /** The worst value of each quiet period, in the order of the rounds. */
  readonly calmP95Ms: readonly number[]
  /** The longest time this process could not read its sockets. Response times measured then are its own fault. */
  readonly stalledMs: number
  /** The share of time in which some process on the machine waited for a processor. Undefined when the system does not report it. */
  readonly waitedForCpu: number | undefined
}

/** Runs for `minutes`, then drains and checks. Rejects when the suite does not drain, or when interrupted. */
export async function runSoak(options: SoakOptions): Promise<Soak> {
  const world = await startWorld(options.servers, { replicas: SERVICES, env: ENVIRONMENT })
  try {
    return await new Soaking(world, options).run()
  } finally {
    await world.stop()
  }
}

class Soaking {
  readonly #world: World
  readonly #options: SoakOptions
  readonly #limits: typeof LIMITS
  readonly #history = new History()
  readonly #random: Random
  readonly #turns: Turn[] = []
  readonly #heard: Heard[] = []
  readonly #samples: Sample[] = []
  readonly #violations: Violation[] = []
  readonly #calms: { fromMs: number; untilMs: number }[] = []

  constructor(world: World, options: SoakOptions) {
    this.#world = world
    this.#options = options
    this.#limits = options.limits ?? LIMITS
    this.#random = randomOf(options.seed)
  }

  async run(): Promise<Soak> {
    const { stack } = this.#world
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
      heard: (heard: Heard) => this.#hear(heard),
    }
    const honest = startHonest(sender, this.#random.fork(), PER_SECOND)
    const attackers = fork(fileURLToPath(new URL('attacker.ts', import.meta.url)), { execArgv: [] })
    let beforeP95Ms = 0
    try {
      // The first requests of a process include compilation.
      await this.#pause(BEFORE_MS / 2)
      const beganMs = this.#history.nowMs()
      await this.#pause(BEFORE_MS)
      beforeP95Ms = this.#p95Ms(beganMs)
      if (beforeP95Ms > this.#limits.calmP95Ms)
        throw new Error(
          `answers take ${ms(beforeP95Ms)} (p95) before the first attack: this machine is too busy to tell`,
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
    const judgement = judge(this.#history, honestOnly(await findAll(this.#world)))
    for (const { what, text, attempt } of judgement.violations)
      this.#violate(attempt?.atMs ?? this.#history.nowMs(), `${what}: ${text} ${attempt?.id ?? ''}`)
    return {
      turns: this.#turns,
      heard: this.#heard,
      samples: this.#samples,
      violations: this.#violations,
      judgement,
      beforeP95Ms,
      calmP95Ms: this.#calms.map(({ fromMs, untilMs }) => this.#p95Ms(fromMs, untilMs)),
      stalledMs: delay.max / 1e6,
      waitedForCpu: Number.isNaN(waitedForCpu) ? undefined : waitedForCpu,
    }
  }

  async #rounds(attackers: ReturnType<typeof fork>, beforeP95Ms: number): Promise<void> {
    const { minutes, mix = [] } = this.#options
    const isShort = minutes < SHORT_MINUTES
    const endsAtMs = this.#history.nowMs() + minutes * MINUTE_MS
    do {
      const hands = inTurns(this.#random, mix)
      if (isShort) {
        const calmMs = this.#limits.recoveredWithinMs + MEASURED_MS
        const turnMs = Math.max(1_000, Math.floor((minutes * MINUTE_MS - calmMs) / hands.length))
        for (const hand of hands) await this.#attack(attackers, hand, turnMs)
        await this.#calm(beforeP95Ms)
      } else
        for (const hand of hands) {
          await this.#attack(attackers, hand, TURN_MS)
          await this.#calm(beforeP95Ms)
          if (this.#history.nowMs() > endsAtMs) return
        }
    } while (this.#history.nowMs() < endsAtMs)
  }

  async #attack(attackers: ReturnType<typeof fork>, hand: readonly Attack[], forMs: number): Promise<void> {
    const { space, service } = this.#world.stack
    const { username, password, host, port, vhost } = space.rabbitmq
    const target = {
      http: this.#world.stack.http,
      admin: SERVICES.map((name) => service(name).admin),
      amqp: `amqp://${username}:${password}@${host}:${port}/${encodeURIComponent(vhost)}`,
    }
    const turn = {
      attacks: hand.map(({ name }) => name),
      fromMs: this.#history.nowMs(),
      untilMs: Number.POSITIVE_INFINITY,
    }
    this.#turns.push(turn)
    const harms = hand.map(({ harm }) => harm)
    const uplink = this.#world.amqp.get('producer')
    if (harms.includes('slow uplink'))
      uplink?.weather({ kind: 'bandwidth', bytesPerS: SLOW_BYTES_PER_S, towards: 'server' })
    if (harms.includes('consumer two frozen')) service('consumer_two').kill('SIGSTOP')
    try {
      const ends = hand.map(({ name }) =>
        this.#ordered(attackers, { name, forMs, target, seed: this.#random.whole(0, 2 ** 31) }),
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

  /** Resolves when the attack has ended. An attack that could not run has tested nothing. */
  async #ordered(attackers: ReturnType<typeof fork>, given: Order): Promise<void> {
    const signal = AbortSignal.timeout(given.forMs + ENDED_WITHIN_MS)
    const ended = new Promise<string | undefined>((resolve) => {
      const listen = (message: unknown) => {
        const { name, failure } = report.parse(message)
        if (name !== given.name) return
        attackers.off('message', listen)
        resolve(failure)
      }
      attackers.on('message', listen)
      signal.addEventListener('abort', () => resolve('it did not end'))
    })
    attackers.send(given)
    const failure = await ended
    if (failure !== undefined)
      this.#violate(this.#history.nowMs(), `the attack itself failed: ${given.name}: ${failure}`)
  }

  /** The suite recovers in time after the end of an attack, and stays recovered. */
  async #calm(beforeP95Ms: number): Promise<void> {
    const { recoveredWithinMs, calmP95Ms, calmTimes } = this.#limits
    await this.#pause(recoveredWithinMs)
    const fromMs = this.#history.nowMs()
    for (const name of SERVICES) {
      const why = await this.#world.stack.service(name).notReady()
      if (why !== undefined) this.#violate(fromMs, `${name} is not ready: ${why}`)
    }
    await this.#pause(MEASURED_MS)
    this.#calms.push({ fromMs, untilMs: this.#history.nowMs() })
    const p95Ms = this.#p95Ms(fromMs)
    const maxMs = Math.max(calmP95Ms, calmTimes * beforeP95Ms)
    if (p95Ms > maxMs) this.#violate(fromMs, `answers take ${ms(p95Ms)} (p95) instead of at most ${ms(maxMs)}`)
    const refused = this.#heard.filter(({ sentAtMs, status }) => sentAtMs > fromMs && (status ?? 500) >= 500).length
    if (refused > 0) this.#violate(fromMs, `${refused} honest requests were not served`)
  }

  #hear(heard: Heard): void {
    this.#heard.push(heard)
    const { path, status, problem, sentAtMs, tookMs } = heard
    const { answeredWithinMs, refusedWithinMs } = this.#limits
    const isRefused = problem === 'not-accepted'
    const answer = `${path.split('?')[0]} got ${status ?? 'no answer'} ${problem}`.trim()
    if (tookMs > answeredWithinMs || (isRefused && tookMs > refusedWithinMs))
      this.#violate(sentAtMs, `${answer} late`, ms(tookMs))
    else if (status === undefined || problem === 'no-reply') this.#violate(sentAtMs, answer)
  }

  #sample(): void {
    for (const service of SERVICES) {
      const bytes = residentBytes(this.#world.stack.service(service).pid)
      const atMs = this.#history.nowMs()
      this.#samples.push({ atMs, service, bytes })
      if (bytes === 0) this.#violate(atMs, `${service} has ended`)
      if (bytes > this.#limits.residentBytes) this.#violate(atMs, `${service} takes too much memory`, mib(bytes))
    }
  }

  #mustNotGrow(): void {
    const third = Math.floor(this.#calms.length / 3)
    // The memory of a process grows after its start, so a short run is not checked.
    if (third < CALMS_MIN) return
    for (const service of SERVICES) {
      const [middle, last] = [this.#calms.slice(third, 2 * third), this.#calms.slice(-third)].map((calms) =>
        median(
          this.#samples
            .filter((each) => each.service === service && isWithin(each.atMs, calms))
            .map(({ bytes }) => bytes),
        ),
      )
      if ((last ?? 0) - (middle ?? 0) > this.#limits.grownBytes)
        this.#violate(
          this.#history.nowMs(),
          `${service} grew from ${mib(middle ?? 0)} to ${mib(last ?? 0)} between calms`,
        )
    }
  }

  #violate(atMs: number, what: string, amount?: string): void {
    this.#violations.push({ atMs, what, ...(amount === undefined ? {} : { amount }) })
  }

  #p95Ms(fromMs: number, untilMs = Number.POSITIVE_INFINITY): number {
    return percentile(
      this.#heard.filter(({ sentAtMs }) => sentAtMs >= fromMs && sentAtMs < untilMs).map(({ tookMs }) => tookMs),
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
      await this.#world.stack.pool.query('INSERT INTO inventory (sku, name, label, price, quantity) VALUES ?', [rows])
    }
  }
}

/** https://docs.kernel.org/accounting/psi.html */
function waitedForCpuMs(): number {
  try {
    return Number(/^some .*total=(\d+)/m.exec(readFileSync('/proc/pressure/cpu', 'utf8'))?.[1]) / 1_000
  } catch {
    return Number.NaN
  }
}

/** Every attack of the mix once, two or three at a time. */
function inTurns(random: Random, mix: readonly string[]): Attack[][] {
  const left = attacks.filter(({ name }) => mix.length === 0 || mix.some((word) => name.includes(word)))
  const hands: Attack[][] = []
  while (left.length > 0) {
    const hand: Attack[] = []
    const wanted = 2 + (hands.length % 2)
    while (hand.length < wanted && left.length > 0) hand.push(...left.splice(random.whole(0, left.length - 1), 1))
    hands.push(hand)
  }
  return hands
}

/** Entries that belong to honest clients. Attackers sent the rest. */
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
