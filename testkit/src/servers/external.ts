// External servers, which the environment names. They are never started, stopped or deleted.
import { addressOf, serverList, serversOf } from '@ims/runtime/server-list'
import { port } from '@ims/runtime/variables'
import { z } from 'zod'
import { waitFor } from './deadline.ts'
import { acceptsConnections, mysqlVersion, rabbitmqVersion } from './handshake.ts'
import { type Control, type Servers, ServersUnavailable } from './servers.ts'

const RESPONDS_WITHIN_MS = 30_000

const environmentSchema = z.object({
  RABBITMQ_HOST: serverList.default('127.0.0.1'),
  RABBITMQ_PORT: port.default(5672),
  RABBITMQ_USERNAME: z.string().default('guest'),
  RABBITMQ_PASSWORD: z.string().default('guest'),
  RABBITMQ_VHOST: z.string().default('/'),
  RABBITMQ_TLS: z.enum(['off', 'on']).default('off'),
  MYSQL_HOST: serverList.default('127.0.0.1'),
  MYSQL_PORT: port.default(3306),
  MYSQL_USER: z.string().default('root'),
  MYSQL_PASSWORD: z.string().default(''),
  MYSQL_DATABASE: z.string().default('ims'),
})

/** The servers that the environment names. Rejects with ServersUnavailable when a variable is wrong or a server does not respond. */
export async function externalServers(environment: NodeJS.ProcessEnv): Promise<Servers> {
  const given = await variablesIn(environment)
  const [rabbitmq, mysql] = await Promise.all([
    // Over TLS the version may not be visible without a client certificate. The services check whether the server is RabbitMQ.
    answering(
      'RabbitMQ',
      given.RABBITMQ_HOST,
      given.RABBITMQ_PORT,
      given.RABBITMQ_TLS === 'on' ? acceptsConnections : rabbitmqVersion,
    ),
    answering('MySQL', given.MYSQL_HOST, given.MYSQL_PORT, mysqlVersion),
  ])
  return {
    mode: 'external',
    rabbitmq: {
      host: given.RABBITMQ_HOST,
      port: given.RABBITMQ_PORT,
      username: given.RABBITMQ_USERNAME,
      password: given.RABBITMQ_PASSWORD,
      vhost: given.RABBITMQ_VHOST,
      version: rabbitmq,
      ctl: () => refused('rabbitmqctl cannot be run on RabbitMQ'),
      importDefinitions: () => refused('definitions cannot be loaded into RabbitMQ'),
      ...uncontrolled('RabbitMQ'),
    },
    mysql: {
      host: given.MYSQL_HOST,
      port: given.MYSQL_PORT,
      user: given.MYSQL_USER,
      password: given.MYSQL_PASSWORD,
      database: given.MYSQL_DATABASE,
      version: mysql,
      sql: () => refused('statements cannot be run as root on MySQL'),
      ...uncontrolled('MySQL'),
    },
    processes: [],
    close: async () => {},
  }
}

/** The variables, or the content of the files that NAME_FILE names, as the services read them. */
async function variablesIn(environment: NodeJS.ProcessEnv): Promise<z.output<typeof environmentSchema>> {
  const { InvalidEnvironment, parseEnvironment } = await import('@ims/runtime')
  try {
    return parseEnvironment({ servers: environmentSchema }, environment).servers
  } catch (error) {
    if (!(error instanceof InvalidEnvironment)) throw error
    throw new ServersUnavailable(`the variables of the external servers are not valid:\n${error.problems.join('\n')}`)
  }
}

/** The version of the first server in the list that responds. The services use the whole list. */
async function answering(
  name: string,
  list: string,
  defaultPort: number,
  ask: (host: string, port: number) => Promise<string | undefined>,
): Promise<string> {
  try {
    const servers = serversOf(list, defaultPort)
    const attempt = async () => {
      for (const { host, port } of servers) {
        const answer = await ask(host, port)
        if (answer !== undefined) return answer
      }
      return undefined
    }
    const what = `response of ${name} on ${servers.map(addressOf).join(' or ')}`
    return await waitFor({ what, withinMs: RESPONDS_WITHIN_MS, logs: [], attempt })
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new ServersUnavailable(`${why}. RABBITMQ_HOST and MYSQL_HOST must name servers that are running.`, {
      cause: error,
    })
  }
}

function uncontrolled(name: string): Control {
  return {
    stop: () => refused(`${name} cannot be stopped`),
    start: () => refused(`${name} cannot be started`),
    kill: () => refused(`${name} cannot be killed`),
  }
}

async function refused(what: string): Promise<never> {
  throw new Error(`${what}: it is an external server, because RABBITMQ_HOST and MYSQL_HOST are set`)
}
