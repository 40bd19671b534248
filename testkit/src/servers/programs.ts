// Finds the server programs on this machine, without Debian's wrapper scripts.
import { accessSync, constants, existsSync, readdirSync, realpathSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { ServersUnavailable } from './servers.ts'

export interface Programs {
  /** The folder of RabbitMQ's own scripts: rabbitmq-server, rabbitmqctl. */
  readonly rabbitmqScripts: string
  readonly epmd: string
  /** mariadbd or mysqld. `mariadbInstallDb` initialises a data directory of MariaDB. `mysqlClient` is the command-line client. */
  readonly mysqld: string
  readonly mariadbInstallDb: string | undefined
  readonly mysqlClient: string
}

/** Debian's wrapper /usr/sbin/rabbitmq-server requires the user rabbitmq. The scripts in these folders do not. */
const RABBITMQ_FOLDERS = ['/usr/lib/rabbitmq/bin', '/opt/homebrew/opt/rabbitmq/sbin', '/usr/local/opt/rabbitmq/sbin']
const ELSEWHERE = ['/usr/local/sbin', '/usr/sbin', '/usr/libexec', '/opt/homebrew/bin', '/usr/local/bin', '/usr/bin']

/** Returns the programs, or the Debian packages to install if a program is missing. */
export function findPrograms(): Programs | { missing: readonly string[] } {
  const rabbitmqScripts = RABBITMQ_FOLDERS.find((folder) => isProgram(join(folder, 'rabbitmq-server')))
  const epmd = find('epmd') ?? epmdOfErlang()
  const mysqld = find('mariadbd') ?? find('mysqld')
  const mysqlClient = find('mariadb') ?? find('mysql')
  if (rabbitmqScripts !== undefined && epmd !== undefined && mysqld !== undefined && mysqlClient !== undefined) {
    return { rabbitmqScripts, epmd, mysqld, mysqlClient, mariadbInstallDb: find('mariadb-install-db') }
  }
  return {
    missing: [
      ...(rabbitmqScripts === undefined || epmd === undefined ? ['rabbitmq-server'] : []),
      ...(mysqld === undefined || mysqlClient === undefined ? ['mariadb-server'] : []),
    ],
  }
}

/** Like findPrograms, but throws ServersUnavailable when a program is missing. */
export function foundPrograms(): Programs {
  const programs = findPrograms()
  if ('missing' in programs) throw new ServersUnavailable(`${programs.missing.join(' and ')} is no longer installed`)
  return programs
}

/** RabbitMQ's version, from the name of its installation folder. Undefined when the name contains none. */
export function rabbitmqVersionOf({ rabbitmqScripts }: Programs): string | undefined {
  return /rabbitmq(?:_server-|\/)(\d+\.\d+[^/]*)/.exec(realpathSync(join(rabbitmqScripts, 'rabbitmq-server')))?.[1]
}

function find(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), ...ELSEWHERE]
  return folders.map((folder) => join(folder, name)).find(isProgram)
}

function epmdOfErlang(): string | undefined {
  const erl = find('erl')
  if (erl === undefined) return undefined
  const root = dirname(dirname(realpathSync(erl)))
  if (!existsSync(root)) return undefined
  const folders = readdirSync(root).filter((name) => name.startsWith('erts-'))
  return folders.map((folder) => join(root, folder, 'bin', 'epmd')).find(isProgram)
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
