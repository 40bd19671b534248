// Installs missing server programs on Debian and Ubuntu, without letting the packages start system services.
import { constants } from 'node:fs'
import { chmod, open, rm } from 'node:fs/promises'
import { run, succeeds } from './command.ts'
import { findPrograms, type Programs } from './programs.ts'
import { type OnProgress, ServersUnavailable } from './servers.ts'

const UPDATE_WITHIN_MS = 300_000
const INSTALL_WITHIN_MS = 900_000
const SUDO_ANSWERS_WITHIN_MS = 5_000
const POLICY_FILE = '/usr/sbin/policy-rc.d'
/** What invoke-rc.d takes as "not allowed": the package is installed, its service is not started. */
const POLICY = '#!/bin/sh\nexit 101\n'
const APT = ['apt-get', '-o', 'DPkg::Lock::Timeout=300', '-y']

/** Installs the Debian packages named. Rejects with ServersUnavailable, saying what to do, where that is not possible. */
export async function installPrograms(packages: readonly string[], onProgress: OnProgress): Promise<Programs> {
  await installPackages(packages, onProgress)
  const found = findPrograms()
  if ('missing' in found)
    throw new ServersUnavailable(`${packages.join(' and ')}: installed, but the programs are not where they should be`)
  return found
}

/** The same for packages that bring no server. */
export async function installPackages(packages: readonly string[], onProgress: OnProgress): Promise<void> {
  const asRoot = await howToBeRoot(packages)
  const names = packages.join(' and ')
  const list = async (args: readonly string[], timeoutMs: number) => {
    const [program = '', ...rest] = [...asRoot, 'env', 'DEBIAN_FRONTEND=noninteractive', ...APT, ...args]
    await run(program, rest, { timeoutMs })
  }
  try {
    onProgress(`installing ${names}: reading the package lists`)
    await list(['update'], UPDATE_WITHIN_MS)
    onProgress(`installing ${names}: downloading and unpacking (the system services are not started)`)
    await withoutServices(asRoot, () => list(['install', '--no-install-recommends', ...packages], INSTALL_WITHIN_MS))
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new ServersUnavailable(`${names} could not be installed. ${whatToDo(packages)}\n${why}`, { cause: error })
  }
}

async function howToBeRoot(packages: readonly string[]): Promise<readonly string[]> {
  if (!(await succeeds('apt-get', ['--version'], SUDO_ANSWERS_WITHIN_MS)))
    throw new ServersUnavailable(whatToDo(packages))
  if (process.getuid?.() === 0) return []
  if (await succeeds('sudo', ['-n', 'true'], SUDO_ANSWERS_WITHIN_MS)) return ['sudo', '-n']
  throw new ServersUnavailable(whatToDo(packages))
}

function whatToDo(packages: readonly string[]): string {
  return [
    'RabbitMQ and MySQL or MariaDB are needed, and not all of them are here. One of these helps:',
    `- Debian, Ubuntu: sudo apt-get install ${packages.join(' ')}`,
    '- macOS: brew install rabbitmq mariadb',
    '- start a Docker engine that `docker info` reaches',
    '- set RABBITMQ_HOST and MYSQL_HOST (and ports, users, passwords) to servers that run elsewhere',
  ].join('\n')
}

/** Runs `install` while packages may not start services; a policy that was there before is respected and left. */
async function withoutServices(asRoot: readonly string[], install: () => Promise<void>): Promise<void> {
  const isOurs = await placePolicy(asRoot)
  try {
    await install()
  } finally {
    if (isOurs) await removePolicy(asRoot)
  }
}

async function placePolicy(asRoot: readonly string[]): Promise<boolean> {
  if (asRoot.length > 0) {
    const [sudo = '', ...rest] = asRoot
    const script = `set -C; printf '${POLICY.replaceAll('\n', '\\n')}' > ${POLICY_FILE} && chmod 755 ${POLICY_FILE}`
    return await succeeds(sudo, [...rest, 'sh', '-c', script], SUDO_ANSWERS_WITHIN_MS)
  }
  try {
    const file = await open(POLICY_FILE, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o755)
    await file.writeFile(POLICY)
    await file.close()
    await chmod(POLICY_FILE, 0o755)
    return true
  } catch {
    return false
  }
}

async function removePolicy(asRoot: readonly string[]): Promise<void> {
  const [sudo, ...rest] = asRoot
  if (sudo === undefined) await rm(POLICY_FILE, { force: true })
  else await run(sudo, [...rest, 'rm', '-f', POLICY_FILE])
}
