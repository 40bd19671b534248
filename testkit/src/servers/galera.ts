// A private MariaDB Galera cluster for tests: three nodes on loopback. All of them accept writes.
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { waitFor } from './deadline.ts'
import { freePorts } from './free-ports.ts'
import { type Kept, keptInMemory } from './kept.ts'
import { LocalMysql } from './local-mysql.ts'
import { findPrograms } from './programs.ts'
import type { Mysql } from './servers.ts'
import type { LocalState } from './state.ts'

const NODES = 3
const PORTS_PER_NODE = 4
const SECRET_BYTES = 18
const READY_WITHIN_MS = 120_000
/** The path in Debian's package galera-4. */
const PROVIDER = '/usr/lib/galera/libgalera_smm.so'
const DEBIAN = '/usr/bin'

export interface GaleraNode extends Mysql {
  /** Resolves when the node has joined the cluster and accepts writes. */
  start(): Promise<void>
}

export interface Galera {
  readonly nodes: readonly [GaleraNode, GaleraNode, GaleraNode]
  /** Stops all nodes. Their data is kept in the directory. */
  end(): Promise<void>
}

/** Why a cluster cannot run on this machine. Undefined when it can. */
export function withoutGalera(): string | undefined {
  return isInstalled()
    ? undefined
    : 'packages are missing: apt-get install rabbitmq-server mariadb-server galera-4 rsync'
}

function isInstalled(): boolean {
  const programs = findPrograms()
  if ('missing' in programs || !programs.mysqld.endsWith('mariadbd')) return false
  return [PROVIDER, join(DEBIAN, 'wsrep_sst_rsync'), join(DEBIAN, 'rsync')].every((path) => existsSync(path))
}

/** Starts three nodes with their data in `directory`. If one does not start, kills the others and rejects. */
export async function startGalera(directory: string): Promise<Galera> {
  const ports = await freePorts(NODES * PORTS_PER_NODE)
  const password = randomBytes(SECRET_BYTES).toString('base64url')
  const places: Place[] = Array.from({ length: NODES }, (_, index) => {
    const [port = 0, group = 0, incremental = 0, whole = 0] = ports.slice(index * PORTS_PER_NODE)
    const own = { port, user: 'ims', password, database: 'ims', version: 'unknown', prepared: index > 0 }
    return { directory: join(directory, `node-${index + 1}`), group, incremental, whole, kept: keptInMemory(own) }
  })
  const [first, second, third] = places.map((place) => new Node(place, places))
  if (first === undefined || second === undefined || third === undefined) throw new Error('there are three nodes')
  const nodes = [first, second, third] as const
  const end = async () => {
    // Stops one node at a time, the first node last: the node that stops last has the latest state of the cluster.
    for (const node of nodes.toReversed()) await node.end()
  }
  try {
    for (const node of nodes) await node.start()
    return { nodes, end }
  } catch (error) {
    await Promise.all(nodes.map((node) => node.kill()))
    await end()
    throw error
  }
}

interface Place {
  readonly directory: string
  /** Ports for group communication, incremental state transfer and full state transfer. */
  readonly group: number
  readonly incremental: number
  readonly whole: number
  readonly kept: Kept<LocalState['mysql']>
}

class Node extends LocalMysql implements GaleraNode {
  readonly #place: Place

  constructor(place: Place, all: readonly Place[]) {
    // The first node creates the cluster when it starts without data.
    const isFirst = place === all[0]
    super(
      place.directory,
      place.kept,
      () => options(place, all, isFirst && !place.kept.get().prepared),
      `${stateTransfer(place.directory)}${delimiter}${process.env.PATH}`,
    )
    this.#place = place
  }

  override async start(): Promise<void> {
    // A node that joins copies the data of another node into this directory.
    if (this.#place.kept.get().prepared) mkdirSync(join(this.#place.directory, 'mysql', 'data'), { recursive: true })
    await super.start()
    await waitFor({
      what: `the node on port ${this.port} joining its cluster`,
      withinMs: READY_WITHIN_MS,
      logs: [join(this.#place.directory, 'mysql', 'mysqld.log')],
      attempt: async () => {
        const state = await this.sql("SHOW STATUS LIKE 'wsrep_ready'").catch(() => '')
        return state.trim().endsWith('ON') ? true : undefined
      },
      hopeless: () => (this.isRunning ? undefined : 'it has exited'),
    })
  }
}

/**
 * Creates a directory with the state transfer script `wsrep_sst_ims`. It is Debian's script, but its rsync daemon runs as
 * root if this process does. Otherwise the daemon would run as `nobody`, which cannot write to root's data directory.
 */
function stateTransfer(directory: string): string {
  const folder = join(directory, 'bin')
  mkdirSync(folder, { recursive: true })
  const script = readFileSync(join(DEBIAN, 'wsrep_sst_rsync'), 'utf8')
    .replace('$(dirname "$0")/wsrep_sst_common', join(DEBIAN, 'wsrep_sst_common'))
    .replace('\nuse chroot = no\n', process.getuid?.() === 0 ? '\nuid = 0\ngid = 0\nuse chroot = no\n' : '$&')
  writeFileSync(join(folder, 'wsrep_sst_ims'), script, { mode: 0o700 })
  return folder
}

function options({ group, incremental, whole, directory }: Place, all: readonly Place[], isNew: boolean): string[] {
  const provider = {
    'gmcast.listen_addr': `tcp://127.0.0.1:${group}`,
    'ist.recv_addr': `127.0.0.1:${incremental}`,
    'gcache.size': '64M',
  }
  return [
    '--binlog-format=ROW',
    '--innodb-autoinc-lock-mode=2',
    '--wsrep-on=ON',
    `--wsrep-provider=${PROVIDER}`,
    '--wsrep-cluster-name=ims',
    `--wsrep-node-name=${directory.slice(-'node-1'.length)}`,
    `--wsrep-node-address=127.0.0.1:${group}`,
    `--wsrep-cluster-address=gcomm://${isNew ? '' : all.map((each) => `127.0.0.1:${each.group}`).join(',')}`,
    '--wsrep-sst-method=ims',
    `--wsrep-sst-receive-address=127.0.0.1:${whole}`,
    `--wsrep-provider-options=${Object.entries(provider)
      .map(([name, value]) => `${name}=${value}`)
      .join(';')}`,
  ]
}
