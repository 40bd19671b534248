// The environment of a service of the suite: our variables on top of the user's.
import { serversEnvironment } from 'testkit/servers-environment'
import type { Settings } from './settings.ts'
import type { SuiteServers } from './suite.ts'

/** The variables that `up` sets for the service `name`, or for `migrate`. */
export function suiteVariables(
  name: string,
  { rabbitmq, mysql, accountOf }: SuiteServers,
  settings: Settings,
): Record<string, string> {
  return {
    ...(accountOf === undefined
      ? serversEnvironment({ rabbitmq, mysql })
      : { ...addresses({ rabbitmq, mysql }), ...accountOf(name) }),
    PORT: String(settings.port),
    HTTP_HOST: settings.httpHost,
    ADMIN_HOST: '127.0.0.1',
  }
}

/** The addresses of the servers, without credentials. */
function addresses(servers: Pick<SuiteServers, 'rabbitmq' | 'mysql'>): Record<string, string> {
  const whoever = /_(USERNAME|USER|PASSWORD)$/
  return Object.fromEntries(Object.entries(serversEnvironment(servers)).filter(([variable]) => !whoever.test(variable)))
}

/** `base` without npm's own variables and without the `_FILE` variants of the variables in `ours`, then `ours`. */
export function serviceEnvironment(base: NodeJS.ProcessEnv, ours: Record<string, string>): NodeJS.ProcessEnv {
  const withoutFile = (name: string) => name.replace(/_FILE$/, '')
  const decided = new Set(Object.keys(ours).map(withoutFile))
  const kept = Object.entries(base).filter(([name]) => !name.startsWith('npm_') && !decided.has(withoutFile(name)))
  return { ...Object.fromEntries(kept), ...ours }
}
