// The peers: the same services in another framework. Each is a separate package, which is installed when it is needed.
import { execFile } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Peer } from './bench.ts'
import type { Progress } from './measured.ts'
import { ROOT } from './processes.ts'

export const NESTJS = 'NestJS'
export const NESTJS_TUNED = 'NestJS, tuned'

const DIRECTORY = 'benchmark/peers/nestjs'

/** NestJS as in its documentation, and tuned to keep more of our guarantees. */
export const PEERS: readonly Peer[] = [peer(NESTJS, false), peer(NESTJS_TUNED, true)]

function peer(name: string, isTuned: boolean): Peer {
  const program = (file: string) => (env: Readonly<Record<string, string>>) => ({
    file: `${DIRECTORY}/src/${file}`,
    env: { ...env, PEER_TUNED: String(isTuned) },
  })
  return { name, isTuned, producer: program('producer.js'), consumer: program('consumer.js') }
}

/** Installs the packages of the peers from their lockfile, unless they are up to date. */
export async function installPeers(progress: Progress): Promise<void> {
  const directory = join(ROOT, DIRECTORY)
  const installed = join(directory, 'node_modules', '.package-lock.json')
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(join(directory, 'package-lock.json')).mtimeMs)
    return
  progress(`installing the peers: npm ci --prefix ${DIRECTORY}`)
  try {
    await promisify(execFile)('npm', ['ci', '--prefix', directory, '--no-audit', '--no-fund'], { cwd: ROOT })
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new Error(`the peers could not be installed: ${why}. Run again with --without-peers to leave them out.`)
  }
}
