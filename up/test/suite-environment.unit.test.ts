// The environment of a service of the suite.
import { describe, expect, it } from '@jest/globals'
import { serviceEnvironment, suiteVariables } from '../src/suite/service-environment.ts'
import { readSettings } from '../src/suite/settings.ts'

const servers = {
  mode: 'local',
  rabbitmq: { host: '127.0.0.1', port: 5673, username: 'ims', password: 'rabbit-secret', vhost: '/' },
  mysql: { host: '127.0.0.1', port: 3307, user: 'ims', password: 'mysql-secret', database: 'inventory' },
  processes: [],
  close: async () => undefined,
}

describe('the environment of a service', () => {
  it('contains the addresses of RabbitMQ and MySQL, and the ports', () => {
    expect(suiteVariables('producer', servers, readSettings({ PORT: '5050' }))).toMatchObject({
      RABBITMQ_PORT: '5673',
      RABBITMQ_PASSWORD: 'rabbit-secret',
      RABBITMQ_VHOST: '/',
      MYSQL_HOST: '127.0.0.1',
      MYSQL_PASSWORD: 'mysql-secret',
      PORT: '5050',
      ADMIN_HOST: '127.0.0.1',
    })
  })

  it('has the account of the service and its password file, when each service has its own account', () => {
    const accountOf = (name: string) => ({ RABBITMQ_USERNAME: name, RABBITMQ_PASSWORD_FILE: `/accounts/${name}` })
    const ours = suiteVariables('consumer_one', { ...servers, accountOf }, readSettings({}))
    expect(ours).toMatchObject({
      RABBITMQ_PORT: '5673',
      RABBITMQ_USERNAME: 'consumer_one',
      RABBITMQ_PASSWORD_FILE: '/accounts/consumer_one',
    })
    for (const variable of ['RABBITMQ_PASSWORD', 'MYSQL_USER', 'MYSQL_PASSWORD'])
      expect(ours).not.toHaveProperty(variable)
    const ofUser = { RABBITMQ_PASSWORD: 'p', MYSQL_PORT_FILE: '/p' }
    expect(serviceEnvironment(ofUser, ours)).toEqual(ours)
  })

  it('keeps the variables of the user, except those that the suite sets and those of npm', () => {
    const base = {
      LOG_LEVEL: 'debug',
      RABBITMQ_HOST: 'elsewhere',
      RABBITMQ_PASSWORD_FILE: '/run/secret',
      TLS_KEY_FILE: '/etc/key',
      npm_config_token: 'x',
    }
    expect(serviceEnvironment(base, { RABBITMQ_HOST: '127.0.0.1', RABBITMQ_PASSWORD: 'p' })).toEqual({
      LOG_LEVEL: 'debug',
      RABBITMQ_HOST: '127.0.0.1',
      RABBITMQ_PASSWORD: 'p',
      TLS_KEY_FILE: '/etc/key',
    })
  })
})
