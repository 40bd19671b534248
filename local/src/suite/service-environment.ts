// The environment that a service of the suite is started with: ours on top of what the user set.
import { serversEnvironment } from '../servers-environment.ts'
import type { Settings } from './settings.ts'
import type { SuiteServers } from './suite.ts'

/** The variables that `up` decides for every service. */
export function suiteVariables({ rabbitmq, mysql }: SuiteServers, settings: Settings): Record<string, string> {
  return {
    ...serversEnvironment({ rabbitmq, mysql }),
    PORT: String(settings.port),
    HTTP_HOST: settings.httpHost,
    ADMIN_HOST: '127.0.0.1',
  }
}

/** `base` without npm's own variables and without the `_FILE` twins of what `ours` decides, then `ours`. */
export function serviceEnvironment(base: NodeJS.ProcessEnv, ours: Record<string, string>): NodeJS.ProcessEnv {
  const kept = Object.entries(base).filter(
    ([name]) => !name.startsWith('npm_') && !(name.replace(/_FILE$/, '') in ours),
  )
  return { ...Object.fromEntries(kept), ...ours }
}
