// RabbitMQ or MySQL as a supervised process. It outlives us and may not be our child, so we poll for its end.
import { setTimeout as sleep } from 'node:timers/promises'
import { isAlive, type ProcessIdentity } from 'testkit/processes/process-identity'
import type { ServerProcess } from 'testkit/servers/servers'
import type { Child, Exit } from './child.ts'

const LOOK_EVERY_MS = 200

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
      // A stop was requested before there was a process to stop.
      if (isStopping) await server.stop()
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      return { ...exit, how: 'it could not be started', lastLines: why.split('\n') }
    }
    while (identity !== undefined && isAlive(identity)) await sleep(LOOK_EVERY_MS)
    return { ...exit, how: 'its process is gone', lastLines: [] }
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
