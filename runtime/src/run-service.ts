// Runs a service: configuration, log, metrics, admin port, signals, shutdown and exit code.
import { z } from 'zod'
import { adminEnvironment, openAdminPort } from './admin.ts'
import { shrinkHeap } from './collect-garbage.ts'
import { type ConfigOf, InvalidEnvironment, parseEnvironment, type Sections } from './config.ts'
import { EXIT } from './exit-codes.ts'
import { exportTraces, tracesEnvironment } from './export-traces.ts'
import { Lifecycle } from './lifecycle.ts'
import { createLog, logEnvironment } from './log.ts'
import { standardOutput } from './log-output.ts'
import {
  DoesNotFit,
  limitYoungGeneration,
  type MemoryBudget,
  memoryEnvironment,
  readMemoryBudget,
} from './memory-budget.ts'
import { createMeter } from './metrics.ts'
import type { Owned } from './ownership.ts'
import type { Service } from './service.ts'
import { whole } from './variables.ts'

/** The default admin port. The service and ADMIN_PORT can change it. */
const ADMIN_PORT = 9090

const shutdownEnvironment = z
  .object({
    SHUTDOWN_TIMEOUT_MS: whole(1, 600_000).default(20_000).describe('time to finish the work in flight after SIGTERM'),
  })
  .transform((v) => ({ timeoutMs: v.SHUTDOWN_TIMEOUT_MS }))

/** The sections that every service has in addition to its own. */
export const runtimeSections = (adminPort = ADMIN_PORT) => ({
  log: logEnvironment,
  admin: adminEnvironment(adminPort),
  shutdown: shutdownEnvironment,
  memory: memoryEnvironment,
  traces: tracesEnvironment,
})

export interface RunningService<S extends Sections> extends Service {
  readonly config: ConfigOf<S>
  /** The memory budget of the process, by buffer. */
  readonly memory: MemoryBudget
  /**
   * Registers a resource and returns it. The resource is part of the readiness check, and is closed at shutdown in
   * reverse order of registration. `label` is its name in the log, by default the name of its class.
   */
  own<T extends Owned>(resource: T, label?: string): T
}

/**
 * Runs `main` as the service `name` until SIGTERM or SIGINT. Then closes its resources, last registered first, and exits:
 * 0 all closed in time · 1 not all closed in time · 78 the configuration is wrong · 70 a bug. A second signal exits at
 * once. The admin port listens from the beginning, on ADMIN_PORT or `adminPort`; services on the same host need
 * different ports. `/readyz` returns 503 until `main` has resolved, and again after the signal.
 */
export async function runService<S extends Sections>(
  { name, adminPort, config: sections }: { name: string; adminPort?: number; config: S },
  main: (service: RunningService<S>) => Promise<void>,
): Promise<void> {
  const config = configuration(name, runtimeSections(adminPort), sections)
  limitYoungGeneration(config.memory)
  const log = createLog(name, config.runtime.log)
  const lifecycle = new Lifecycle(log, config.runtime.shutdown.timeoutMs)
  await lifecycle.run(async () => {
    const metrics = createMeter(name)
    metrics.meter.count('log_lines_lost', {}, 0)
    standardOutput().onLoss({ lost: (lines) => metrics.meter.count('log_lines_lost', {}, lines) })
    // Registered first, so that it closes last and probes work during the whole shutdown.
    const admin = await openAdminPort(config.runtime.admin, metrics, () => lifecycle.readiness(), log)
    lifecycle.own(admin, 'the admin port')
    log.info({ adminPort: admin.port, pid: process.pid }, 'starting')
    const traces = await exportTraces(name, config.runtime.traces, log)
    if (traces !== undefined) lifecycle.own(traces, 'the export of traces')
    const own = <T extends Owned>(resource: T, label?: string): T => lifecycle.own(resource, label)
    shrinkHeap()
    await main({
      name,
      log,
      meter: metrics.meter,
      stopping: lifecycle.stopping,
      explainStart: (why) => lifecycle.explainStart(why),
      config: config.own,
      memory: config.memory,
      own,
    })
  })
}

/** Older versions start, but fail later. */
const NODE_MAJOR_MIN = 24

function configuration<S extends Sections>(name: string, ofRuntime: ReturnType<typeof runtimeSections>, sections: S) {
  try {
    if (Number.parseInt(process.version.slice(1), 10) < NODE_MAJOR_MIN)
      throw new InvalidEnvironment([`this is Node.js ${process.version}, and ${name} needs ${NODE_MAJOR_MIN} or later`])
    const all = { ...ofRuntime, ...sections }
    parseEnvironment(all, process.env) // all sections together, so that the error names every problem
    const runtime = parseEnvironment(ofRuntime, process.env)
    return {
      runtime,
      own: parseEnvironment(sections, process.env),
      memory: readMemoryBudget(name, runtime.memory),
    }
  } catch (error) {
    const problems =
      error instanceof InvalidEnvironment
        ? error.problems
        : [error instanceof DoesNotFit ? error.message : String(error)]
    const log = createLog(name, { level: 'info', format: 'auto' })
    for (const problem of problems) log.error({ exitCode: EXIT.CONFIG }, `configuration: ${problem}`)
    process.exit(EXIT.CONFIG)
  }
}
