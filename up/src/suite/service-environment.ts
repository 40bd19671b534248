// The environment of a service of the suite: the user's variables, overridden by those of the suite.
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
  const credential = /_(USERNAME|USER|PASSWORD)$/
  const all = Object.entries(serversEnvironment(servers))
  return Object.fromEntries(all.filter(([variable]) => !credential.test(variable)))
}

/** Merges `base` and `ours`. Variables of npm are removed, and `ours` replaces a variable of `base` together with its `_FILE` variant. */
export function serviceEnvironment(base: NodeJS.ProcessEnv, ours: Record<string, string>): NodeJS.ProcessEnv {
  const withoutFile = (name: string) => name.replace(/_FILE$/, '')
  const decided = new Set(Object.keys(ours).map(withoutFile))
  const kept = Object.entries(base).filter(([name]) => !name.startsWith('npm_') && !decided.has(withoutFile(name)))
  return { ...Object.fromEntries(kept), ...ours }
}
