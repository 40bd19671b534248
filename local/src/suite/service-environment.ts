// The environment that a service of the suite is started with: ours on top of what the user set.
import type { Settings } from './settings.ts'
import type { SuiteServers } from './suite.ts'

/** The variables that `up` decides for every service. */
export function suiteVariables({ rabbitmq, mysql }: SuiteServers, settings: Settings): Record<string, string> {
  return {
    RABBITMQ_HOST: rabbitmq.host,
    RABBITMQ_PORT: String(rabbitmq.port),
    RABBITMQ_USERNAME: rabbitmq.username,
    RABBITMQ_PASSWORD: rabbitmq.password,
    RABBITMQ_VHOST: rabbitmq.vhost,
    MYSQL_HOST: mysql.host,
    MYSQL_PORT: String(mysql.port),
    MYSQL_USER: mysql.user,
    MYSQL_PASSWORD: mysql.password,
    MYSQL_DATABASE: mysql.database,
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
