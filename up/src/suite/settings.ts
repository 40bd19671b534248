// The environment variables that `up` reads.
import { services } from '@ims/accounts/suite'
import { PORT_MAX, port, whole } from '@ims/runtime/variables'
import { z } from 'zod'
import { StepFailed } from './progress.ts'

/** Each service after the first uses the next port. */
const ADMIN_PORT_BASE_MAX = PORT_MAX - services.length + 1

const settings = z.object({
  PORT: port.default(5000),
  /** The producer's admin port. The consumers use the next four. */
  ADMIN_PORT_BASE: whole(1, ADMIN_PORT_BASE_MAX).default(9090),
  /** The services' own timeout for the work in flight at shutdown. */
  SHUTDOWN_TIMEOUT_MS: z.string().regex(/^\d+$/, 'must be a whole number').default('20000').transform(Number),
  /** The directory for state, logs and data. `.local/up` in the repository when omitted. */
  IMS_UP_DIRECTORY: z.string().optional(),
  HTTP_HOST: z.string().min(1).default('127.0.0.1'),
})

export interface Settings {
  readonly port: number
  readonly adminPortBase: number
  readonly httpHost: string
  readonly shutdownTimeoutMs: number
  readonly directory: string | undefined
  /** The URL of the suite on this machine. */
  readonly http: string
}

/** Reads the settings. Throws StepFailed, which names every wrong variable. An empty variable counts as not set. */
export function readSettings(environment: NodeJS.ProcessEnv): Settings {
  const set = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''))
  const parsed = settings.safeParse(set)
  if (!parsed.success) {
    const problems = parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)
    throw new StepFailed(problems.join('\n'), 'Correct these environment variables and run the command again.')
  }
  const { PORT: port, HTTP_HOST: httpHost } = parsed.data
  const everywhere = httpHost === '0.0.0.0' || httpHost === '::'
  const reachable = everywhere ? '127.0.0.1' : httpHost.includes(':') ? `[${httpHost}]` : httpHost
  return {
    port,
    httpHost,
    adminPortBase: parsed.data.ADMIN_PORT_BASE,
    shutdownTimeoutMs: parsed.data.SHUTDOWN_TIMEOUT_MS,
    directory: parsed.data.IMS_UP_DIRECTORY,
    http: `http://${reachable}:${port}`,
  }
}
