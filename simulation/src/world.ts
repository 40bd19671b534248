// Virtual time: a heap of events, and processes. Their event loops have the same phases as in Node, and can be frozen.
import type { Clock } from '../../messaging/src/scope.ts'

interface Event {
  readonly atMs: number
  readonly order: number
  readonly run: () => void
}

const isBefore = (a: Event, b: Event): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)

export class World {
  nowMs = 0
  events = 0
  readonly random: () => number
  readonly #heap: Event[] = []

  constructor(random: () => number) {
    this.random = random
  }

  /** An integer of at least `min` and less than `max`. */
  between(min: number, max: number): number {
    return Math.floor(min + this.random() * (max - min))
  }

  /** Schedules a callback. Callbacks for the same time run in the order in which they were scheduled. */
  at(atMs: number, run: () => void): void {
    const heap = this.#heap
    const event = { atMs: Math.max(atMs, this.nowMs), order: this.events++, run }
    let at = heap.push(event) - 1
    while (at > 0) {
      const above = (at - 1) >> 1
      const parent = heap[above]
      if (parent === undefined || !isBefore(event, parent)) break
      heap[at] = parent
      at = above
    }
    heap[at] = event
  }

  #next(): Event | undefined {
    const heap = this.#heap
    const [first] = heap
    const last = heap.pop()
    if (first === undefined || last === undefined || heap.length === 0) return first
    let at = 0
    for (;;) {
      let below = 2 * at + 1
      const left = heap[below]
      const right = heap[below + 1]
      if (left === undefined) break
      if (right !== undefined && isBefore(right, left)) below += 1
      const child = heap[below]
      if (child === undefined || !isBefore(child, last)) break
      heap[at] = child
      at = below
    }
    heap[at] = last
    return first
  }

  /** Runs all events up to `toMs` synchronously. Tests use it to make virtual time follow real time. */
  advance(toMs: number): void {
    while ((this.#heap[0]?.atMs ?? Number.POSITIVE_INFINITY) <= toMs) {
      const event = this.#next()
      if (event === undefined) break
      this.nowMs = event.atMs
      event.run()
    }
    this.nowMs = toMs
  }

  /**
   * Runs one event after the other until `isOver` returns true or no event is left. Between two events, Node runs all
   * microtasks. Rejects with the error that an event throws.
   */
  run(isOver: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const step = () => {
        const event = isOver() ? undefined : this.#next()
        if (event === undefined) return resolve()
        this.nowMs = event.atMs
        try {
          event.run()
        } catch (error) {
          return reject(error)
        }
        queueMicrotask(() => process.nextTick(step))
      }
      step()
    })
  }
}

interface Timer {
  readonly dueMs: number
  due: (() => void) | undefined
}

/** A process: its event loop, and the clock that messaging uses. */
export class Process implements Clock {
  readonly name: string
  readonly #world: World
  /** Sorted by due time. */
  #timers: Timer[] = []
  #arrivals: (() => void)[] = []
  #immediates: Timer[] = []
  /** The remaining callbacks of the current phase. */
  readonly #turn: (() => void)[] = []
  /** The next phase of the loop: 0 timers, 1 sockets, 2 immediates. */
  #phase = 0
  #stepping = false
  #frozenUntilMs = 0
  #wallOffsetMs = 1_700_000_000_000
  #ids = 0

  constructor(name: string, world: World) {
    this.name = name
    this.#world = world
  }

  nowMs = (): number => this.#world.nowMs
  date = (): Date => new Date(this.#wallOffsetMs + this.#world.nowMs)
  random = (): number => this.#world.random()

  uuid = (): string => {
    this.#ids += 1
    return `${this.name}-${this.#ids}`
  }

  after = (ms: number, due: () => void): (() => void) => {
    const timer: Timer = { dueMs: this.#world.nowMs + Math.max(1, ms), due }
    const later = this.#timers.findIndex(({ dueMs }) => dueMs > timer.dueMs)
    this.#timers.splice(later === -1 ? this.#timers.length : later, 0, timer)
    this.#world.at(timer.dueMs, this.#step)
    return () => {
      timer.due = undefined
    }
  }

  afterRead = (turned: () => void): (() => void) => {
    const immediate: Timer = { dueMs: 0, due: turned }
    this.#immediates.push(immediate)
    this.#wake()
    return () => {
      immediate.due = undefined
    }
  }

  /** Call this when data has arrived at a socket. `read` runs in the socket phase of the loop. */
  post(read: () => void): void {
    this.#arrivals.push(read)
    this.#wake()
  }

  get isFrozen(): boolean {
    return this.#world.nowMs < this.#frozenUntilMs
  }

  freeze(ms: number): void {
    this.#frozenUntilMs = this.#world.nowMs + ms
    // A process can be frozen in any phase.
    this.#phase = this.#world.between(0, 3)
  }

  jumpClock(ms: number): void {
    this.#wallOffsetMs += ms
  }

  /** Kills the process. None of its callbacks run after that. */
  kill(): void {
    this.#frozenUntilMs = Number.POSITIVE_INFINITY
  }

  #wake(): void {
    if (this.#stepping) return
    this.#stepping = true
    this.#world.at(this.#world.nowMs, this.#stepAgain)
  }

  readonly #stepAgain = () => {
    this.#stepping = false
    this.#step()
  }

  /** Runs one callback. As in Node, the phases are timers, sockets and immediates. */
  readonly #step = () => {
    if (this.isFrozen) {
      if (Number.isFinite(this.#frozenUntilMs)) this.#world.at(this.#frozenUntilMs, this.#step)
      return
    }
    if (this.#turn.length === 0) this.#collect()
    this.#turn.shift()?.()
    if (this.#turn.length > 0 || this.#arrivals.length > 0 || this.#immediates.length > 0) this.#wake()
  }

  #collect(): void {
    for (let tried = 0; this.#turn.length === 0 && tried < 3; tried += 1) {
      const phase = this.#phase
      this.#phase = (phase + 1) % 3
      if (phase === 0) {
        const later = this.#timers.findIndex(({ dueMs }) => dueMs > this.#world.nowMs)
        const due = this.#timers.splice(0, later === -1 ? this.#timers.length : later)
        this.#turn.push(...due.map((timer) => () => timer.due?.()))
      } else if (phase === 1) this.#turn.push(...this.#arrivals.splice(0))
      else this.#turn.push(...this.#immediates.splice(0).map((timer) => () => timer.due?.()))
    }
  }
}
