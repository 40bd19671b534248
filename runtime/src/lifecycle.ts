// The lifecycle of a process: starting, started, stopping. After a signal, a failure or a bug it exits with the right code.
import type { Readiness } from './admin.ts'
import { EXIT } from './exit-codes.ts'
import { type Owned, Ownership } from './ownership.ts'
import type { Log } from './service.ts'
import { sharedForAWhile } from './shared-for-a-while.ts'

/** Start-up errors that only an operator can fix. */
const CONFIGURATION_ERRORS: ReadonlySet<string> = new Set([
  'Misconfigured',
  'PortTaken',
  'InvalidEnvironment',
  'DoesNotFit',
])

const CHECK_OWNED_EVERY_MS = 1_000

export class Lifecycle {
  readonly #log: Log
  readonly #timeoutMs: number
  readonly #owned: Ownership
  readonly #reasonsOfOwned: () => Promise<readonly string[]>
  readonly #stopping = new AbortController()
  #phase: 'starting' | 'started' | 'stopping' = 'starting'
  #start: Promise<void> | undefined
  #whyStarting: () => string | undefined = () => undefined

  constructor(log: Log, timeoutMs: number) {
    this.#log = log
    this.#timeoutMs = timeoutMs
    this.#owned = new Ownership(log)
    this.#reasonsOfOwned = sharedForAWhile(() => this.#owned.reasons(), CHECK_OWNED_EVERY_MS)
    for (const [signal, number] of [['SIGTERM', 15] as const, ['SIGINT', 2] as const]) {
      // This listener replaces the one of early-signals.ts.
      process.removeAllListeners(signal)
      process.on(signal, () => {
        if (this.#phase === 'stopping') {
          log.warn({ signal }, 'second signal: exiting at once')
          process.exit(128 + number)
        }
        log.info({ signal }, 'stopping')
        void this.#stop(EXIT.OK)
      })
    }
    const bug = (error: unknown) => {
      log.error(
        { error: error instanceof Error ? error.stack : String(error), exitCode: EXIT.SOFTWARE },
        'bug: unexpected error',
      )
      process.exit(EXIT.SOFTWARE)
    }
    process.on('uncaughtException', bug)
    process.on('unhandledRejection', bug)
  }

  get stopping(): AbortSignal {
    return this.#stopping.signal
  }

  /** Runs `start`, and resolves when it has ended. A failure ends the process. */
  async run(start: () => Promise<void>): Promise<void> {
    this.#start = start()
    try {
      await this.#start
      this.#started()
    } catch (error) {
      await this.#failed(error)
    }
  }

  own<T extends Owned>(resource: T, label?: string): T {
    return this.#owned.own(resource, label)
  }

  /** Registers a function that returns why startup is not complete. */
  explainStart(why: () => string | undefined): void {
    this.#whyStarting = why
  }

  /** Why the service is not ready, and warnings. The resources are checked at most once a second, even if this is called more often. */
  async readiness(): Promise<Readiness> {
    const reasons = await this.#reasonsOfOwned()
    const phase = this.#phase === 'started' ? [] : [`the service is ${this.#phase}`]
    const why = this.#phase === 'starting' ? this.#whyStarting() : undefined
    const opening = why === undefined || reasons.includes(why) ? [] : [why]
    return { reasons: [...phase, ...opening, ...reasons], warnings: this.#owned.warnings }
  }

  #started(): void {
    if (this.#phase !== 'starting') return
    this.#phase = 'started'
    this.#log.info({}, 'ready')
  }

  async #failed(error: unknown): Promise<void> {
    // A shutdown rejects every promise that startup awaits, so this error is expected.
    if (this.#phase === 'stopping') return this.#log.debug({ error: String(error) }, 'startup was aborted')
    const config = error instanceof Error && CONFIGURATION_ERRORS.has(error.name)
    const exitCode = config ? EXIT.CONFIG : EXIT.SOFTWARE
    const detail = config || !(error instanceof Error) ? {} : { error: error.stack }
    this.#log.error({ ...detail, exitCode }, `cannot start: ${error instanceof Error ? error.message : error}`)
    await this.#stop(exitCode)
  }

  async #stop(exitCode: number): Promise<never> {
    this.#phase = 'stopping'
    this.#stopping.abort()
    let starting = true
    const deadline = setTimeout(() => {
      const open = [...(starting ? ['startup'] : []), ...this.#owned.open]
      this.#log.error(
        { timeoutMs: this.#timeoutMs, open },
        `shutdown timed out with these still open: ${open.join(', ')}. The broker redelivers unacknowledged messages`,
      )
      process.exit(EXIT.UNCLEAN)
    }, this.#timeoutMs)
    // Startup may still be in progress and register a resource. Its waits have been aborted.
    await this.#start?.catch(() => {})
    starting = false
    await this.#owned.close()
    clearTimeout(deadline)
    this.#log.info({ exitCode }, 'stopped')
    process.exit(exitCode)
  }
}
