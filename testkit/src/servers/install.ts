// Installs missing server programs on Debian and Ubuntu, and prevents their packages from starting system services.
import { run, succeeds } from './command.ts'
import { findPrograms, type Programs } from './programs.ts'
import { type OnProgress, ServersUnavailable } from './servers.ts'

const UPDATE_WITHIN_MS = 300_000
const INSTALL_WITHIN_MS = 900_000
const SUDO_ANSWERS_WITHIN_MS = 5_000
const POLICY_FILE = '/usr/sbin/policy-rc.d'

/**
 * Runs the command `$2…` with a policy that forbids packages to start services. `$1` is the path of the policy file.
 * invoke-rc.d and deb-systemd-invoke run it, and its exit code 101 means "not allowed". An existing policy file is not
 * changed. Ours has no effect when this shell has exited, even if it was killed, and deletes itself the next time it runs.
 */
export const WITHOUT_SERVICES = `
policy=$1; shift
set -C
if cat > "$policy" <<END
#!/bin/sh
# Placed by process $$ of IMS (npm run up) for as long as it installs packages.
grep -qs without-services /proc/$$/cmdline && exit 101
rm -f "\\$0"
END
then
  trap 'rm -f "$policy"' EXIT
  trap 'exit 1' HUP INT TERM
  chmod 755 "$policy"
fi 2> /dev/null
"$@"
exit $?
`

const APT = ['apt-get', '-o', 'DPkg::Lock::Timeout=300', '-y']

/** Installs these Debian packages. If that is not possible, rejects with ServersUnavailable. The message says what to do. */
export async function installPrograms(packages: readonly string[], onProgress: OnProgress): Promise<Programs> {
  await installPackages(packages, onProgress)
  const found = findPrograms()
  if ('missing' in found)
    throw new ServersUnavailable(
      `${packages.join(' and ')}: installed, but the programs are not in the expected folders`,
    )
  return found
}

/** Like installPrograms, for packages without a server. */
export async function installPackages(packages: readonly string[], onProgress: OnProgress): Promise<void> {
  const asRoot = await rootCommand(packages)
  const names = packages.join(' and ')
  const apt = async (before: readonly string[], args: readonly string[], timeoutMs: number) => {
    const [program = '', ...rest] = [...asRoot, 'env', 'DEBIAN_FRONTEND=noninteractive', ...before, ...APT, ...args]
    await run(program, rest, { timeoutMs })
  }
  try {
    onProgress(`installing ${names}: reading the package lists`)
    await apt([], ['update'], UPDATE_WITHIN_MS)
    onProgress(`installing ${names}: downloading and unpacking (the system services are not started)`)
    const withoutServices = ['sh', '-c', WITHOUT_SERVICES, 'without-services', POLICY_FILE]
    await apt(withoutServices, ['install', '--no-install-recommends', ...packages], INSTALL_WITHIN_MS)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new ServersUnavailable(`${names} could not be installed. ${whatToDo(packages)}\n${why}`, { cause: error })
  }
}

async function rootCommand(packages: readonly string[]): Promise<readonly string[]> {
  if (!(await succeeds('apt-get', ['--version'], SUDO_ANSWERS_WITHIN_MS)))
    throw new ServersUnavailable(whatToDo(packages))
  if (process.getuid?.() === 0) return []
  if (await succeeds('sudo', ['-n', 'true'], SUDO_ANSWERS_WITHIN_MS)) return ['sudo', '-n']
  throw new ServersUnavailable(whatToDo(packages))
}

function whatToDo(packages: readonly string[]): string {
  return [
    'RabbitMQ and MySQL or MariaDB are needed, but not all of them are installed. Do one of these:',
    `- Debian, Ubuntu: sudo apt-get install ${packages.join(' ')}`,
    '- macOS: brew install rabbitmq mariadb',
    '- start a Docker engine, and check it with `docker info`',
    '- set RABBITMQ_HOST and MYSQL_HOST (and ports, users, passwords) to running servers',
  ].join('\n')
}
