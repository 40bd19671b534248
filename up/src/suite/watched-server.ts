// RabbitMQ or MySQL as a supervised process. It may be the child of another process, so its exit is detected by polling.
import { setTimeout as sleep } from 'node:timers/promises'
import { isAlive, type ProcessIdentity } from 'testkit/processes/process-identity'
import type { ServerProcess } from 'testkit/servers/servers'
import type { Child, Exit } from './child.ts'

const CHECK_EVERY_MS = 200

/** Starts the server, or attaches to it if it already runs. Calls `changed` once it accepts connections. */
export function watchServer(server: ServerProcess, changed: () => void): Child {
  let identity: ProcessIdentity | undefined
  let isStopping = false
  const live = async (): Promise<Exit> => {
    const exit = { code: null, signal: null }
    try {
      await server.start()
      identity = server.identity()
      changed()
      // A stop was requested while the server was starting.
      if (isStopping) await server.stop()
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      return { ...exit, how: 'it could not be started', lastLines: why.split('\n') }
    }
    while (identity !== undefined && isAlive(identity)) await sleep(CHECK_EVERY_MS)
    return { ...exit, how: 'its process has exited', lastLines: [] }
  }
  const exited = live()
  return {
    get identity() {
      return identity
    },
    exited,
    stop: async () => {
      isStopping = true
      await server.stop()
      return await exited
    },
  }
}
