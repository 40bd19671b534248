// Faults of processes: they are killed, stopped, frozen, or killed or disconnected during shutdown.
import { readFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import type { ServiceProcess } from '../../test/stack.ts'
import { REPLICAS } from '../testbed.ts'
import type { Fault, Scene } from './fault.ts'

const anyService = ({ testbed, random }: Scene): ServiceProcess => testbed.stack.service(random.pick(REPLICAS))

const killed: Fault = {
  kind: 'service kill -9',
  group: 'services',
  weight: 10,
  inject: async (scene) => {
    const victim = anyService(scene)
    victim.kill('SIGKILL')
    const how = await victim.exited
    return {
      note: victim.name,
      lastsMs: scene.random.whole(0, 800),
      repair: async () => {
        await scene.testbed.restart(victim.name)
        return how === 'SIGKILL'
      },
    }
  },
}

const terminated: Fault = {
  kind: 'service SIGTERM',
  group: 'services',
  weight: 6,
  inject: async (scene) => {
    const victim = anyService(scene)
    victim.kill('SIGTERM')
    return {
      note: victim.name,
      lastsMs: scene.random.whole(0, 500),
      repair: async () => {
        const code = await victim.exited
        await scene.testbed.restart(victim.name)
        return code !== 'SIGKILL'
      },
    }
  },
}

const frozen: Fault = {
  kind: 'service SIGSTOP',
  group: 'services',
  weight: 6,
  inject: async (scene) => {
    const victim = anyService(scene)
    victim.kill('SIGSTOP')
    await pause(50)
    const stopped = stateOf(victim.pid) === 'T'
    return {
      note: victim.name,
      lastsMs: scene.random.whole(200, 5_000),
      repair: async () => {
        victim.kill('SIGCONT')
        return stopped
      },
    }
  },
}

const killedWhileStopping: Fault = {
  kind: 'service killed during shutdown',
  group: 'services',
  weight: 5,
  inject: async (scene) => {
    const victim = anyService(scene)
    victim.kill('SIGTERM')
    await pause(scene.random.whole(1, 40))
    victim.kill('SIGKILL')
    const how = await victim.exited
    return {
      note: victim.name,
      lastsMs: 0,
      repair: async () => {
        await scene.testbed.restart(victim.name)
        return how === 'SIGKILL'
      },
    }
  },
}

const cutWhileStopping: Fault = {
  kind: 'broker cut off during shutdown',
  group: 'services',
  weight: 4,
  inject: async (scene) => {
    const victim = anyService(scene)
    const proxy = scene.testbed.amqp.get(victim.name)
    victim.kill('SIGTERM')
    await pause(scene.random.whole(1, 40))
    const cut = proxy?.cut() ?? 0
    return {
      note: victim.name,
      lastsMs: 0,
      repair: async () => {
        await victim.exited
        await scene.testbed.restart(victim.name)
        return cut > 0
      },
    }
  },
}

export const serviceFaults: readonly Fault[] = [killed, terminated, frozen, killedWhileStopping, cutWhileStopping]

/** The letter that Linux reports for the state of a process. T means stopped. */
function stateOf(pid: number): string {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  return stat.charAt(stat.lastIndexOf(')') + 2)
}
