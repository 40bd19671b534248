// Runs one schedule: producers, consumers and operators on a simulated broker and database, from start to shutdown. Checks
// the invariants.

import {
  type Broker,
  consumerEnvironment,
  createItem,
  type DeadLetter,
  type DeadLetterDesk,
  deadLetterDesk,
  healthcheck,
  type Log,
  NotAccepted,
  openBroker,
  orderProcessing,
  rabbitmqEnvironment,
  type Service,
  type Subscription,
} from '@ims/messaging'
import { RETURN_PAUSE_MAX_MS } from '../../messaging/src/incoming/consumer.ts'
import { labelOf, SimulatedBroker } from './broker.ts'
import { SimulatedDatabase } from './database.ts'
import { MANY, type Plan, POISONOUS } from './plan.ts'
import { randomFrom } from './random.ts'
import { connectTo } from './wire.ts'
import { Process, World } from './world.ts'

const UNCONFIRMED_MAX = 6
const PREFETCH = 24
/** A consumer that returns after an outage starts with this prefetch, on a separate subscription. */
const RETURN_PREFETCH = 10
const rabbitmq = rabbitmqEnvironment.parse({
  RABBITMQ_RECONNECT_MOST_MS: '1000',
  RABBITMQ_CONNECT_TIMEOUT_MS: '3000',
  RABBITMQ_CONFIRM_TIMEOUT_MS: '4000',
  RABBITMQ_UNCONFIRMED_MOST: String(UNCONFIRMED_MAX),
})
const consuming = consumerEnvironment.parse({
  CONSUMER_BATCH_MOST: '4',
  CONSUMER_PREFETCH: String(PREFETCH),
  CONSUMER_RETRY_MOST_MS: '1000',
  CONSUMER_HOLD_MOST_MS: '3000',
})
const DEADLINE_MS = 8_000
/** The system must work again within this time after the last fault. */
const RECOVERY_MS = 180_000
const GRACE_MS = 15_000
/** The longest time in which a consumer may be ready without a subscription: a heartbeat, a reconnect and a new subscription. */
const UNSUBSCRIBED_MAX_S = 12
/** The longest time that a message may be unacknowledged: the hold time of its batch and of the batches before it, and the last statements. */
const HOLD_MAX_MS = 30_000
/** An applied message must be acknowledged within this time. */
const ACK_MAX_MS = 1_500
const QUEUE = createItem.queue
const LETTERS = `${QUEUE}.dead-letter`

export interface Violation {
  /** The violated invariant. The text is the same for all schedules that violate it. */
  readonly invariant: string
  readonly details: string
}

interface Sent {
  readonly label: string
  readonly kind: Plan['messages'][number]['kind']
  readonly sentAtMs: number
  /** The outcome that the sender got. Undefined until there is one. */
  reported?: 'accepted' | 'applied' | 'refused' | 'not accepted' | 'unknown' | 'answered' | 'unanswered'
  settledAtMs?: number
}

interface Replica {
  readonly process: Process
  readonly isProducer: boolean
  readonly stop: AbortController
  broker: Broker | undefined
  readonly subscriptions: Subscription[]
  opening: Promise<void>
  isKilled: boolean
  unsubscribedS: number
  held: number
  /** The number of unconfirmed messages on the connection for publishing. */
  unconfirmed: number
  unconfirmedMax: number
}

/** Runs a schedule. Resolves with the first violation, or with undefined if there is none. `log` receives each log line of the services. */
export async function run(plan: Plan, log?: (line: string) => void): Promise<Violation | undefined> {
  const { stackTraceLimit } = Error
  // amqplib creates an error for each channel that closes. Stack traces would take half of the run time.
  Error.stackTraceLimit = 0
  try {
    return await new Simulation(plan, log).run()
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}

class Simulation {
  readonly #plan: Plan
  readonly #log: ((line: string) => void) | undefined
  readonly #world: World
  readonly #broker: SimulatedBroker
  readonly #database: SimulatedDatabase
  readonly #replicas: Replica[] = []
  readonly #sent: Sent[] = []
  readonly #violations: Violation[] = []
  #endsAtMs = 0
  #redrives = 0
  #operators = 0
  #activeOperators = 0

  constructor(plan: Plan, log: ((line: string) => void) | undefined) {
    this.#plan = plan
    this.#log = log
    this.#world = new World(randomFrom(plan.seed))
    this.#broker = new SimulatedBroker(this.#world, plan)
    this.#database = new SimulatedDatabase(this.#world)
    if (plan.topology === 'check')
      for (const { queue } of [createItem, orderProcessing, healthcheck]) {
        this.#broker.queue(queue)
        this.#broker.queue(`${queue}.dead-letter`)
      }
  }

  async run(): Promise<Violation | undefined> {
    const { messages, faults } = this.#plan
    for (const name of ['producer0', 'producer1']) this.#start(name, true)
    for (const name of ['consumer0', 'consumer1']) this.#start(name, false)
    for (const [index, message] of messages.entries())
      this.#world.at(2_000 + message.atMs, () => this.#send(`m${index}`, message))
    for (const fault of faults) this.#world.at(2_000 + fault.atMs, () => this.#inject(fault))
    this.#endsAtMs = 2_000 + Math.max(0, ...messages.map(({ atMs }) => atMs), ...faults.map(({ atMs }) => atMs))
    this.#sample()
    let isIdle = false
    const hasPoison = messages.some(({ kind }) => POISONOUS.has(kind))
    let drops = 0
    const look = () => {
      const areFaultsOver = this.#world.nowMs > this.#endsAtMs
      isIdle = areFaultsOver && this.#whyNotIdle() === undefined
      // A message that fails is known to be bad only when other messages succeed, so send some.
      if (areFaultsOver && !isIdle && hasPoison && drops < 100) {
        drops += 1
        this.#send(`d${drops}`, { atMs: 0, kind: 'publish', sku: 1_000 + drops, from: drops })
      }
      if (!isIdle) this.#world.at(this.#world.nowMs + 500, look)
    }
    look()
    // A consumer of a queue with only bad messages pauses between attempts, at most twice for the longest pause.
    const recoveryMs = RECOVERY_MS + (hasPoison ? 2 * RETURN_PAUSE_MAX_MS : 0)
    await this.#world.run(
      () => isIdle || this.#violations.length > 0 || this.#world.nowMs > this.#endsAtMs + recoveryMs,
    )
    if (!isIdle) this.#violated('works again after the faults', this.#whyNotIdle() ?? '')
    if (this.#violations.length === 0) await this.#probe()
    if (this.#violations.length === 0) await this.#stopAll()
    this.#checkOutcomes()
    return this.#violations[0]
  }

  #violated(invariant: string, details: string): void {
    this.#violations.push({ invariant, details: `${details} (at ${this.#world.nowMs} ms)` })
  }

  #service(process: Process, replica: Replica): Service {
    const log = (_: object, message: string) => this.#log?.(`${this.#world.nowMs} ${process.name}: ${message}`)
    const logs: Log = { debug: log, info: log, warn: log, error: log }
    return {
      name: process.name,
      log: this.#log ? logs : QUIET,
      meter: {
        count: () => {},
        observe: (metric, value, { connection } = {}) => {
          if (metric === 'messages_held') replica.held = value
          if (metric !== 'messages_unconfirmed') return
          replica.unconfirmedMax = Math.max(replica.unconfirmedMax, value)
          if (connection === 'publishing') replica.unconfirmed = value
        },
      },
      stopping: replica.stop.signal,
      clock: process,
      connect: connectTo(this.#world, process, this.#broker),
    }
  }

  #start(name: string, isProducer: boolean): void {
    const process = new Process(name, this.#world)
    const replica: Replica = {
      process,
      isProducer,
      stop: new AbortController(),
      broker: undefined,
      subscriptions: [],
      opening: Promise.resolve(),
      isKilled: false,
      unsubscribedS: 0,
      held: 0,
      unconfirmed: 0,
      unconfirmedMax: 0,
    }
    this.#replicas.push(replica)
    const service = this.#service(process, replica)
    const opened = async () => {
      const config = { ...rabbitmq, topology: this.#plan.topology }
      const broker = await openBroker(
        config,
        service,
        isProducer ? { publishes: [createItem, orderProcessing, healthcheck] } : {},
      )
      replica.broker = broker
      if (isProducer) return
      const dependency = async () => this.#database.unavailable(process)
      const store = this.#database.storeItems(process, this.#handled(process))
      replica.subscriptions.push(await broker.consume(createItem, store, consuming, dependency))
      const answer = async (questions: readonly unknown[]) =>
        questions.map(() => ({ kind: 'answered' as const, body: Buffer.from('[]'), headers: {} }))
      replica.subscriptions.push(await broker.consume(orderProcessing, answer, consuming, dependency))
    }
    process.post(() => {
      replica.opening = opened().catch(() => {})
    })
  }

  /** Returns a check that a process does not apply later messages before those that it requeued because the database was down. */
  #handled(process: Process) {
    const requeued = new Set<string>()
    return (labels: readonly string[], state: 'begun' | 'done' | 'unavailable' | 'failed') => {
      if (state === 'begun') for (const label of labels) requeued.delete(label)
      if (state === 'unavailable') for (const label of labels) requeued.add(label)
      if (state !== 'done') return
      this.#mustAckSoon(process, labels)
      const passed = [...requeued].find(
        (label) =>
          this.#broker.on(QUEUE, process).some(({ content }) => labelOf(content) === label) &&
          labels.some((later) => this.#isBehind(label, later)),
      )
      if (passed !== undefined && this.#keepsOrder(process))
        this.#violated(
          'a process applies messages in the order of the queue',
          `${process.name} applied ${labels} before ${passed}`,
        )
    }
  }

  /** Checks that an applied message without a reply is acknowledged at once, even if the rest of its batch is not done. */
  #mustAckSoon(process: Process, labels: readonly string[]): void {
    const { nowMs } = this.#world
    if (!this.#plan.faults.every(({ kind }) => kind.startsWith('database') || HARMLESS.has(kind))) return
    this.#world.at(nowMs + ACK_MAX_MS, () => {
      for (const { message, sinceMs } of this.#broker.inFlight(QUEUE, process)) {
        const label = labelOf(message.content)
        const isPlain = this.#database.effects.has(label) && this.#kindOf(label) === 'publish'
        if (isPlain && labels.includes(label) && sinceMs <= nowMs)
          this.#violated(
            'an applied message is acknowledged at once',
            `${process.name} keeps ${label}, applied at ${nowMs} ms`,
          )
      }
    })
  }

  #kindOf(label: string): Sent['kind'] | undefined {
    return this.#sent.find((sent) => sent.label === label)?.kind
  }

  #isBehind(label: string, later: string): boolean {
    const order = this.#broker.arrivals
    return (order.get(label) ?? 0) < (order.get(later) ?? 0)
  }

  #keepsOrder(process: Process): boolean {
    const { faults, messages } = this.#plan
    // Faults outside the database may change the order of the queue. With bad messages, the messages of a batch are processed one by one.
    const isPlain =
      faults.every(({ kind }) => kind.startsWith('database')) &&
      messages.every(({ kind }) => !POISONOUS.has(kind) && kind !== 'twice')
    return isPlain && !process.name.includes('+')
  }

  #send(label: string, message: Plan['messages'][number]): void {
    const { kind, sku, from } = message
    if (kind === 'many poison') {
      for (let n = 0; n < MANY; n += 1)
        this.#later(100 * n, () => this.#send(`${label}-${n}`, { ...message, kind: 'poison' }))
      return
    }
    const producers = this.#replicas.filter(
      ({ isProducer, isKilled, stop }) => isProducer && !isKilled && !stop.signal.aborted,
    )
    const by = producers[from % producers.length]
    if (by === undefined) return
    by.process.post(() => this.#sendBy(by, label, kind, sku))
    // Another producer sends the same message with the same id at the same time.
    const other = producers[(from + 1) % producers.length]
    if (kind === 'twice' && other) other.process.post(() => this.#sendBy(other, label, kind, sku))
  }

  #sendBy(by: Replica, label: string, kind: Sent['kind'], sku: number): void {
    const { broker } = by
    if (broker === undefined) return
    const sent: Sent = { label, kind, sentAtMs: this.#world.nowMs }
    this.#sent.push(sent)
    const settled = (reported: NonNullable<Sent['reported']>) => {
      if (by.isKilled) return
      sent.reported = reported
      sent.settledAtMs = this.#world.nowMs
    }
    const failed = (error: Error) => {
      settled(
        error.name === 'NotAccepted' ? 'not accepted' : error.name === 'OutcomeUnknown' ? 'unknown' : 'unanswered',
      )
      this.#checkReadBeforeTimeout(sent, error)
      this.#checkDeletedQueue(sent, error)
      const isConnected = this.#plan.faults.every(({ kind: each }) => HARMLESS.has(each))
      if (
        isConnected &&
        kind === 'command' &&
        /did not confirm/.test(error.message) &&
        this.#world.nowMs < sent.sentAtMs + DEADLINE_MS
      )
        this.#violated('a command waits for its reply, even if the confirm is late', label)
    }
    const body = { sku: `sku${sku}`, name: label, label: kind === 'poison' ? 'poison' : 'item', price: 1, quantity: 1 }
    if (kind === 'query')
      broker.requester
        .request(orderProcessing, { name: label }, { deadlineMs: DEADLINE_MS })
        .then(() => settled('answered'), failed)
    else if (kind === 'command')
      broker.requester.command(createItem, body, { deadlineMs: DEADLINE_MS }).then(({ reply }) => {
        settled(reply.kind === 'no-reply' ? 'accepted' : reply.kind)
      }, failed)
    else if (kind === 'other')
      broker.publisher.publish(healthcheck, { name: label }).then(() => settled('accepted'), failed)
    else {
      const messageId = kind === 'twice' ? label : by.process.uuid()
      broker.publisher.publish(createItem, body, { messageId }).then(() => settled('accepted'), failed)
    }
    if (by.isKilled) this.#sent.pop()
  }

  /** Checks that a publish does not time out with an unknown outcome while its confirm is already in the socket. */
  #checkReadBeforeTimeout({ label, kind }: Sent, error: Error): void {
    const { nowMs } = this.#world
    if (!/did not confirm/.test(error.message) || kind === 'twice' || kind === 'command') return
    const confirmed = this.#broker.confirmArrivedMs.get(`${QUEUE} ${label}`)
    if (confirmed !== undefined && confirmed < nowMs)
      this.#violated(
        'data in the socket is read before a timeout fires',
        `the confirm of ${label} arrived at ${confirmed} ms`,
      )
  }

  /** Checks that the deletion of a queue affects only messages of this queue, and that their errors name the queue. */
  #checkDeletedQueue({ label, kind }: Sent, error: Error): void {
    const reason = error instanceof NotAccepted ? error.reason : 'unknown'
    const keepsConnections = this.#plan.faults.every(
      ({ kind: each }) => each === 'delete queue' || KEEPS_CONNECTIONS.has(each),
    )
    const isAffected = kind === 'other' && keepsConnections && reason !== 'over-limit'
    const isMisnamed = kind !== 'query' && reason === 'unroutable' && !error.message.includes(QUEUE)
    if (isAffected || isMisnamed)
      this.#violated('the deletion of a queue affects no other queue', `${label} (${kind}): ${error.message}`)
  }

  #later(ms: number, end: () => void): void {
    this.#endsAtMs = Math.max(this.#endsAtMs, this.#world.nowMs + ms)
    this.#world.at(this.#world.nowMs + ms, end)
  }

  #inject({ kind, at, ms }: Plan['faults'][number]): void {
    const broker = this.#broker
    const database = this.#database
    const live = this.#replicas.filter(({ isKilled, stop }) => !isKilled && !stop.signal.aborted)
    const replica = live[at % live.length]
    if (replica === undefined) return
    const { process } = replica
    const links = [...broker.links.keys()]
    const link = links[at % Math.max(1, links.length)]
    this.#log?.(`${this.#world.nowMs} fault: ${kind} ${process.name} ${ms} ms`)
    switch (kind) {
      case 'cut':
        link?.cut()
        return this.#later(100, () => {})
      case 'swallow':
        link?.swallow()
        return this.#later(3 * broker.heartbeatMs, () => {})
      case 'close':
        link?.close(320, 'CONNECTION_FORCED - closed by an operator')
        return this.#later(1_000, () => {})
      case 'cuts': {
        for (let time = 0; time < 25; time += 1)
          this.#later(time * 700, () => {
            for (const each of broker.links.keys()) if (each.purpose === 'consuming') each.cut()
          })
        return
      }
      case 'restart':
        broker.isDown = true
        for (const each of links) each.cut()
        return this.#later(ms, () => {
          broker.isDown = false
        })
      case 'drain':
        broker.drains = true
        for (const each of links) each.close(320, 'CONNECTION_FORCED - maintenance')
        return this.#later(Math.min(ms, 5_000), () => {
          broker.drains = false
        })
      case 'alarm':
        broker.setAlarm(true)
        return this.#later(ms, () => broker.setAlarm(false))
      case 'slow confirms':
        broker.confirmDelayMs = ms
        return this.#later(ms, () => {
          broker.confirmDelayMs = 0
        })
      case 'nack':
        broker.nacks += 1 + (at % 3)
        return this.#later(ms, () => {
          broker.nacks = 0
        })
      case 'slow broker':
        broker.slowMs = 2_000 + (ms % 3_000)
        for (const each of links) if (at % 2 === 0) each.cut()
        return this.#later(ms, () => {
          broker.slowMs = 0
        })
      case 'database away for one':
        database.unreachableFor.add(process)
        return this.#later(2 * ms, () => void database.unreachableFor.delete(process))
      case 'database away':
        database.isDown = true
        return this.#later(ms, () => {
          database.isDown = false
        })
      case 'commit reply lost':
        database.commitRepliesLost += 1 + (at % 3)
        return this.#later(ms, () => {
          database.commitRepliesLost = 0
        })
      case 'commit fails':
        database.commitsFail += 1 + (at % 3)
        return this.#later(ms, () => {
          database.commitsFail = 0
        })
      case 'freeze':
        process.freeze(ms)
        return this.#later(ms, () => {})
      case 'clock jump':
        return process.jumpClock((at % 2 === 0 ? 1 : -1) * ms * 1_000)
      case 'delete queue':
        if (this.#plan.topology === 'check') this.#later(Math.min(ms, 4_000), () => void broker.queue(QUEUE))
        return broker.deleteQueue(QUEUE)
      case 'stop':
        this.#end(replica)
        return this.#later(Math.min(ms, 3_000), () =>
          this.#start(`${process.name}+${this.#replicas.length}`, replica.isProducer),
        )
      case 'kill':
        replica.isKilled = true
        process.kill()
        for (const each of links) if (each.process === process) each.cut()
        return this.#later(Math.min(ms, 3_000), () =>
          this.#start(`${process.name}+${this.#replicas.length}`, replica.isProducer),
        )
      case 'remove item':
        return database.removeItem(`sku${at % 7}`)
      case 'redrive':
        return this.#redrive()
      case 'browse':
        this.#browse()
        return this.#browse()
    }
  }

  /** Starts an operator in its own process. The operator reads or changes the dead letters. */
  #operate(work: (desk: DeadLetterDesk) => Promise<string>): void {
    const process = new Process(`operator${this.#operators++}`, this.#world)
    const desk = deadLetterDesk(rabbitmq, this.#service(process, { ...NO_REPLICA, stop: new AbortController() }))
    this.#activeOperators += 1
    process.post(() => {
      work(desk)
        .then(
          (done) => this.#log?.(`${this.#world.nowMs} ${process.name}: ${done}`),
          (error: Error) => this.#log?.(`${this.#world.nowMs} ${process.name}: ${error.message}`),
        )
        .finally(() => {
          this.#activeOperators -= 1
        })
    })
  }

  #redrive(): void {
    this.#redrives += 1
    this.#operate(async (desk) => {
      const before = this.#broker.on(LETTERS)
      const { done, stopped } = await desk.redrive(QUEUE, { by: 'all' })
      const after = this.#broker.on(LETTERS)
      const left = before.filter((letter) => after.includes(letter))
      if (stopped === undefined && left.length > 0)
        this.#violated(COMPLETE, `${left.length} dead letters are left after a redrive of all`)
      return `redriven ${done} of ${before.length}, ${String(stopped ?? 'all')}`
    })
  }

  #browse(): void {
    this.#operate(async (desk) => {
      const before = this.#broker.on(LETTERS)
      const seen = new Set<string>()
      const visit = ({ body }: DeadLetter) => {
        seen.add(labelOf(Buffer.from(body)))
        return true
      }
      await desk.browse(QUEUE, visit, { bodyMaxBytes: 1_000 })
      const after = this.#broker.on(LETTERS)
      for (const letter of before) {
        const label = labelOf(letter.content)
        if (after.includes(letter) && !seen.has(label)) this.#violated(COMPLETE, `a list does not contain ${label}`)
      }
      return `seen ${seen.size}`
    })
  }

  #end(replica: Replica): void {
    replica.process.post(() => {
      replica.stop.abort()
      const sinceMs = this.#world.nowMs
      const closing = replica.opening.then(() => replica.broker?.close())
      let isOver = false
      void closing.then(() => {
        isOver = true
      })
      this.#later(GRACE_MS, () => {
        const isExcused = this.#plan.faults.some(({ kind }) => kind === 'freeze' || kind === 'kill')
        if (!isOver && !replica.isKilled && !isExcused)
          this.#violated('a process stops in time', `${replica.process.name} has been stopping since ${sinceMs} ms`)
      })
    })
  }

  #live(): Replica[] {
    return this.#replicas.filter(({ isKilled, stop }) => !isKilled && !stop.signal.aborted)
  }

  /** Why the system is not idle, in one sentence. Undefined when it is idle. */
  #whyNotIdle(): string | undefined {
    for (const replica of this.#live()) {
      const { process, broker, subscriptions, isProducer } = replica
      if (broker === undefined || (!isProducer && subscriptions.length < 2)) return `${process.name} has not started`
      const why = broker.notReady() ?? subscriptions.map((each) => each.notReady()).find((each) => each !== undefined)
      if (why !== undefined) return `${process.name} is not ready: ${why}`
      if (replica.unconfirmed > 0) return `${process.name} is waiting for ${replica.unconfirmed} confirms`
      if (replica.held > 0) return `${process.name} reports ${replica.held} held messages`
    }
    for (const name of [QUEUE, orderProcessing.queue]) {
      const { ready, subscribers } = this.#broker.queue(name)
      if (ready.length > 0) return `${ready.length} messages are ready on ${name}`
      const unacked = this.#broker.inFlight(name).length
      if (unacked > 0) return `${unacked} messages of ${name} are unacknowledged`
      const alive = this.#live().filter(({ isProducer }) => !isProducer)
      for (const { process } of alive)
        if (!subscribers.some(({ link }) => link.process === process)) return `${process.name} does not consume ${name}`
      const orphaned = subscribers.filter(({ link }) => !alive.some(({ process }) => process === link.process))
      if (orphaned.length > 0) return `${orphaned.length} consumers of ${name} belong to no running process`
    }
    for (const [{ process, purpose }, channels] of this.#broker.links)
      if (purpose === 'consuming' && channels.size > 2)
        return `${process.name} has ${channels.size} consuming channels, but must have one for each queue`
    if (this.#activeOperators > 0) return 'an operator is working on dead letters'
    const pending = this.#sent.find(
      ({ reported, sentAtMs }) => reported === undefined && sentAtMs + 60_000 > this.#world.nowMs,
    )
    return pending === undefined ? undefined : `the sender of ${pending.label} got no outcome`
  }

  /** Every second, checks the invariants that must always be true. */
  #sample(): void {
    for (const replica of this.#live()) {
      const { process, broker, subscriptions } = replica
      const [subscription] = subscriptions
      const isReady = broker?.notReady() === undefined && subscription?.notReady() === undefined
      const consumes = this.#broker.queues
        .get(QUEUE)
        ?.subscribers.some(({ link }) => link.process === process && !link.isBlackHole)
      replica.unsubscribedS = subscription && isReady && !consumes && !process.isFrozen ? replica.unsubscribedS + 1 : 0
      if (replica.unsubscribedS > UNSUBSCRIBED_MAX_S)
        this.#violated(
          'a consumer that is ready has a subscription',
          `${process.name} is ready and has no subscription`,
        )
      if (replica.unconfirmedMax > UNCONFIRMED_MAX)
        this.#violated('limits are not exceeded', `${process.name} had ${replica.unconfirmedMax} messages unconfirmed`)
      const inFlight = this.#broker.queues.get(QUEUE)?.subscribers.filter(({ link }) => link.process === process) ?? []
      const taken = inFlight.reduce((sum, each) => sum + each.inFlight, 0)
      if (taken > PREFETCH + RETURN_PREFETCH)
        this.#violated('limits are not exceeded', `${process.name} has ${taken} unacknowledged messages`)
    }
    const tooLong = this.#broker.inFlight(QUEUE).find(({ sinceMs }) => sinceMs < this.#world.nowMs - HOLD_MAX_MS)
    if (tooLong && this.#plan.faults.every(({ kind }) => kind.startsWith('database')))
      this.#violated(
        'no message is held for too long',
        `${labelOf(tooLong.message.content)} since ${tooLong.sinceMs} ms`,
      )
    const [overdue] = this.#broker.overdue
    const mayFreeze = this.#plan.faults.some(({ kind }) => kind === 'freeze')
    if (overdue !== undefined && !mayFreeze)
      this.#violated('no message is held until the consumer timeout of the broker', overdue)
    this.#world.at(this.#world.nowMs + 1_000, () => this.#sample())
  }

  /** Checks that messages are accepted and applied after the faults. */
  async #probe(): Promise<void> {
    const before = this.#sent.length
    for (const [index, { isProducer }] of this.#live().entries())
      if (isProducer) this.#send(`p${index}`, { atMs: 0, kind: 'publish', sku: 100 + index, from: index })
    const endsAtMs = this.#world.nowMs + 8_000
    this.#world.at(endsAtMs, () => {})
    await this.#world.run(() => this.#world.nowMs >= endsAtMs)
    for (const { label, reported } of this.#sent.slice(before))
      if (reported !== 'accepted' || !this.#database.effects.has(label))
        this.#violated('works again after the faults', `after all faults ${label} was ${reported ?? 'not reported'}`)
  }

  async #stopAll(): Promise<void> {
    const stopping = this.#live()
    for (const replica of stopping) this.#end(replica)
    let isOver = false
    const endsAtMs = this.#world.nowMs + GRACE_MS + 1
    this.#world.at(endsAtMs, () => {
      isOver = true
    })
    await this.#world.run(() => isOver || this.#violations.length > 0)
  }

  #letters(): string[] {
    return this.#broker.queue(LETTERS).ready.map(({ content }) => labelOf(content))
  }

  #checkOutcomes(): void {
    const { effects, refused } = this.#database
    const letters = this.#letters()
    const isBusy = (label: string) => this.#broker.queue(QUEUE).ready.some(({ content }) => labelOf(content) === label)
    const isRedriven = this.#redrives > 0
    for (const [label, times] of effects) {
      if (times > 1) this.#violated('nothing is applied twice', `${label} was applied ${times} times`)
      if (letters.includes(label) && !isRedriven && !this.#mayExceedDeliveryLimit())
        this.#violated('nothing is both applied and refused', label)
    }
    for (const { label, kind, reported } of this.#sent) {
      if (kind === 'query') continue
      if (kind === 'other') {
        const isStored = this.#broker.on(healthcheck.queue).some(({ content }) => labelOf(content) === label)
        if (reported === 'accepted' && !isStored) this.#violated('nothing accepted is lost', `${label} was ${reported}`)
        if (reported === 'not accepted' && isStored)
          this.#violated('the reported outcome is true', `${label} was reported as not accepted, and is stored`)
        continue
      }
      const isApplied = effects.has(label)
      const isLetter = letters.includes(label)
      const isReported = reported === 'accepted' || reported === 'applied' || reported === 'refused'
      if (
        isReported &&
        !isApplied &&
        !isLetter &&
        !isBusy(label) &&
        !this.#broker.destroyed.has(label) &&
        reported !== 'refused'
      )
        this.#violated('nothing accepted is lost', `${label} was ${reported}`)
      if (reported === 'not accepted' && kind !== 'twice' && (isApplied || isLetter || refused.has(label)))
        this.#violated('the reported outcome is true', `${label} was reported as not accepted, and is stored`)
      if (reported === 'applied' && !isApplied)
        this.#violated('the reported outcome is true', `${label} was reported as applied`)
      if (reported === 'refused' && isApplied && !isRedriven)
        this.#violated('the reported outcome is true', `${label} was reported as refused`)
      if (
        reported === undefined &&
        this.#sent.every(({ reported }) => reported !== 'unknown') &&
        this.#plan.faults.length === 0
      )
        this.#violated('every promise settles', label)
      const isGood = kind !== 'poison' && !refused.has(label)
      if (isLetter && isGood && !this.#mayExceedDeliveryLimit())
        this.#violated('a good message is never dead-lettered', `${label} is a dead letter`)
    }
    const once = letters.filter((label) => this.#sent.some((sent) => sent.label === label && sent.kind !== 'twice'))
    const copies = Math.max(0, ...once.map((label) => once.filter((each) => each === label).length))
    const cuts = this.#plan.faults.some(({ kind }) => !HARMLESS.has(kind) && !OPERATORS.has(kind))
    if (copies > 1 && !cuts)
      this.#violated('a message has at most one dead letter', `${copies} dead letters of one message`)
  }

  /** With more cuts than the delivery limit during the search for a bad message, the broker dead-letters good messages too. */
  #mayExceedDeliveryLimit(): boolean {
    const { faults, messages } = this.#plan
    return faults.some(({ kind }) => kind === 'cuts') && messages.some(({ kind }) => POISONOUS.has(kind))
  }
}

const OPERATORS: ReadonlySet<string> = new Set(['redrive', 'browse'])

/** Faults that do not cut connections. With these, each message gets only one outcome. */
const HARMLESS: ReadonlySet<string> = new Set(['slow confirms', 'alarm', 'database away', 'clock jump', 'remove item'])

/** Faults that do not affect publishers. */
const KEEPS_CONNECTIONS: ReadonlySet<string> = new Set([
  'database away',
  'database away for one',
  'commit fails',
  'clock jump',
  'remove item',
  ...OPERATORS,
])
const COMPLETE = 'an operation on dead letters is complete, or reports that it is not'

const ignore = () => {}
const QUIET: Log = { debug: ignore, info: ignore, warn: ignore, error: ignore }
const NO_REPLICA: Omit<Replica, 'stop'> = {
  process: new Process('nobody', new World(() => 0)),
  isProducer: false,
  broker: undefined,
  subscriptions: [],
  opening: Promise.resolve(),
  isKilled: false,
  unsubscribedS: 0,
  held: 0,
  unconfirmed: 0,
  unconfirmedMax: 0,
}
