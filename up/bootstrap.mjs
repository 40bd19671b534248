// The first command in a fresh clone: installs the dependencies if needed, then runs up/src/main.ts on the project's
// own Node. It is plain JavaScript without dependencies, so that Node 20 of the host can run it.
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { delimiter, dirname, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))
const MODULES = join(ROOT, 'node_modules')
const BIN = join(MODULES, '.bin')
const LOCKFILE = join(ROOT, 'package-lock.json')
const MARK = join(MODULES, '.installed-package-lock-sha256')
const TURN = join(ROOT, '.local', 'install.pid')
const NODE_MAJOR_MIN = 24
const TURN_WITHIN_MS = 600_000
const WRITTEN_WITHIN_MS = 2_000
const EXIT_SOFTWARE = 70
const EXIT_CANNOT_CREATE = 73
const EXIT_UNAVAILABLE = 69
const KILLED_BY_SIGNAL = 128

/** The exit codes of these commands when nothing is running. */
const WITHOUT_SUITE = { status: 3, down: 0 }

process.exitCode = withoutSuite() ?? (await installOrExplain()) ?? (await runMain())

/** Returns the exit code of `status` or `down` if nothing was ever installed or started. Returns undefined if main.ts must run. */
function withoutSuite() {
  const [command, ...args] = process.argv.slice(2)
  const code = args.length === 0 ? WITHOUT_SUITE[command] : undefined
  const directory = resolve(ROOT, process.env.IMS_UP_DIRECTORY || join('.local', 'up'))
  if (code === undefined || existsSync(MODULES) || existsSync(directory) || composeRuns()) return undefined
  process.stdout.write('Nothing is running. `npm run up` starts the suite.\n')
  return code
}

function composeRuns() {
  const { status, stdout } = spawnSync('docker', ['compose', 'ps', '--quiet'], { cwd: ROOT, timeout: 15_000 })
  return status === 0 && String(stdout).trim() !== ''
}

/** Installs the dependencies if needed. An error of the file system is printed without a stack trace, because the user must fix it. */
async function installOrExplain() {
  try {
    return await installWhenNeeded()
  } catch (error) {
    if (error.syscall === undefined) throw error
    print(`✗ ${error.message}\n  What to do: make this path writable, then try again.`)
    return EXIT_CANNOT_CREATE
  }
}

/** Resolves with an exit code if the installation failed, or with undefined. */
async function installWhenNeeded() {
  if (isInstalled()) return undefined
  const giveBack = await takeTurn()
  try {
    // Another process may have installed the dependencies while this one waited.
    return isInstalled() ? undefined : await install()
  } finally {
    giveBack()
  }
}

function isInstalled() {
  if (!allFoldersAreThere()) return false
  const wanted = createHash('sha256').update(readFileSync(LOCKFILE)).digest('hex')
  if (readOr(MARK, '') === wanted) return true
  if (!npmInstalledTheSame()) return false
  writeFileSync(MARK, wanted)
  return true
}

/** False when a folder of a package is missing, for example because it was deleted. */
function allFoldersAreThere() {
  const wanted = JSON.parse(readFileSync(LOCKFILE, 'utf8')).packages
  return Object.entries(wanted).every(
    ([place, { optional, devOptional }]) =>
      !place.includes('node_modules/') || optional || devOptional || existsSync(join(ROOT, place)),
  )
}

/** True after a manual `npm install` or `npm ci`. npm records the packages that it has installed. */
function npmInstalledTheSame() {
  const present = JSON.parse(readOr(join(MODULES, '.package-lock.json'), '{"packages":{}}')).packages
  const wanted = JSON.parse(readFileSync(LOCKFILE, 'utf8')).packages
  const places = Object.keys(wanted).filter((place) => place.includes('node_modules/'))
  return places.every((place) => {
    const found = present[place]
    if (found === undefined) return wanted[place].optional === true
    return ['version', 'integrity', 'resolved'].every((member) => found[member] === wanted[place][member])
  })
}

async function install() {
  print('… installing the dependencies (npm ci): about a minute the first time')
  const began = performance.now()
  const args = ['ci', '--no-audit', '--no-fund', '--include=dev', '--include=optional']
  const child = spawn('npm', args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
  const code = await ended(child)
  const took = `${((performance.now() - began) / 1000).toFixed(1)} s`
  if (code !== 0) {
    print(`✗ npm ci failed after ${took} with exit code ${code}\n${output.trimEnd()}`)
    print('  What to do: read the output of npm above. npm needs a network and an up-to-date lockfile. Then try again.')
    return code
  }
  writeFileSync(MARK, createHash('sha256').update(readFileSync(LOCKFILE)).digest('hex'))
  print(`✓ dependencies installed (${took})`)
  return undefined
}

/** Takes a lock, so that only one process installs at a time. The lock is a file with the pid of its holder. Removes the lock of a dead process. */
async function takeTurn() {
  mkdirSync(dirname(TURN), { recursive: true })
  const endsAt = performance.now() + TURN_WITHIN_MS
  for (let logged = false; ; logged = true) {
    try {
      writeFileSync(TURN, String(process.pid), { flag: 'wx' })
      process.once('exit', () => readOr(TURN, '') === String(process.pid) && rmSync(TURN, { force: true }))
      return () => rmSync(TURN, { force: true })
    } catch (error) {
      if (error.code !== 'EEXIST') {
        // On a full disk the file exists, but is empty.
        rmSync(TURN, { force: true })
        throw error
      }
    }
    const holder = readOr(TURN, '')
    // In a container, a killed process can have had our own pid.
    if (holder === String(process.pid) || (holder === '' ? isOld(TURN) : !exists(Number(holder))))
      removeStaleTurn(holder)
    if (performance.now() > endsAt) throw new Error(`process ${holder} has been installing for too long; see ${TURN}`)
    if (!logged) print(`… waiting for process ${holder}, which is installing the dependencies`)
    await sleep(300)
  }
}

/** True for a file that was created, but not written: its process was killed in between. */
function isOld(path) {
  const found = statSync(path, { throwIfNoEntry: false })
  return found !== undefined && Date.now() - found.mtimeMs > WRITTEN_WITHIN_MS
}

/** Moves the file away before it checks it again, because another process may have taken the lock after the first check. */
function removeStaleTurn(holder) {
  const aside = `${TURN}.${process.pid}`
  try {
    renameSync(TURN, aside)
    if (readOr(aside, '') !== holder) linkSync(aside, TURN)
  } catch {
    // Another process has removed the lock.
  }
  rmSync(aside, { force: true })
}

async function runMain() {
  const node = projectNode()
  if (node === undefined) {
    print(
      `✗ There is no Node ${NODE_MAJOR_MIN} for this machine (${process.platform} ${process.arch}) among the dependencies,`,
    )
    print(`  and the host's is ${process.version}. Install Node ${NODE_MAJOR_MIN} or newer and try again.`)
    return EXIT_UNAVAILABLE
  }
  const env = { ...process.env, ...direct(), PATH: `${BIN}${delimiter}${process.env.PATH ?? ''}` }
  const args = [join(ROOT, 'up', 'src', 'main.ts'), ...process.argv.slice(2)]
  return await ended(spawn(node, args, { env, stdio: 'inherit' }))
}

/** The variables that exclude this machine and HTTP_HOST from the proxies of the environment. */
function direct() {
  const { NO_PROXY = '', no_proxy = NO_PROXY, HTTP_HOST = '' } = process.env
  const hosts = [no_proxy, '127.0.0.1', 'localhost', '::1', '[::1]', HTTP_HOST].filter((host) => host !== '').join(',')
  return { NO_PROXY: hosts, no_proxy: hosts }
}

function projectNode() {
  const own = join(BIN, 'node')
  if (spawnSync(own, ['--version']).status === 0) return own
  return Number.parseInt(process.versions.node, 10) >= NODE_MAJOR_MIN ? process.execPath : undefined
}

/** Forwards our signals to the child and resolves with its exit code, as a shell would return it. */
function ended(child) {
  return new Promise((resolve) => {
    const signals = ['SIGINT', 'SIGTERM', 'SIGHUP']
    const handlers = signals.map((signal) => [signal, () => child.kill(signal)])
    for (const [signal, handler] of handlers) process.on(signal, handler)
    child.once('error', (error) => {
      print(`✗ ${error.message}`)
      resolve(EXIT_SOFTWARE)
    })
    child.once('close', (code, signal) => {
      for (const [name, handler] of handlers) process.off(name, handler)
      resolve(code ?? KILLED_BY_SIGNAL + constants.signals[signal])
    })
  })
}

function exists(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

function readOr(path, fallback) {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return fallback
  }
}

function print(text) {
  process.stderr.write(`${text}\n`)
}
