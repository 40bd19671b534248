// Faults of the network: latency, low bandwidth, black holes, resets, half-closed connections, and cuts in the middle of a frame.
import type { TcpProxy, Weather } from 'testkit'
import { becomesTrue } from './broker.ts'
import type { Fault, Group, Scene } from './fault.ts'

interface Leg {
  readonly name: string
  readonly group: Group
  proxies(scene: Scene): readonly TcpProxy[]
}

const amqpLeg: Leg = { name: 'AMQP', group: 'amqp leg', proxies: ({ testbed }) => [...testbed.amqp.values()] }
const mysqlLeg: Leg = { name: 'MySQL', group: 'mysql leg', proxies: ({ testbed }) => [...testbed.mysql.values()] }

/** The proxy of one random service or, in a third of the cases, the proxies of all services. */
function some(scene: Scene, leg: Leg): readonly TcpProxy[] {
  const all = leg.proxies(scene)
  return scene.random.fraction() < 1 / 3 ? all : [scene.random.pick(all)]
}

const sum = (proxies: readonly TcpProxy[], what: (proxy: TcpProxy) => number): number =>
  proxies.reduce((total, proxy) => total + what(proxy), 0)

function weatherFault(leg: Leg, kind: string, maxMs: number, weatherOf: (scene: Scene) => Weather): Fault {
  return {
    kind: `${leg.name} ${kind}`,
    group: leg.group,
    weight: 3,
    inject: async (scene) => {
      const hit = some(scene, leg)
      const weather = weatherOf(scene)
      for (const proxy of hit) proxy.weather(weather)
      const open = sum(hit, (proxy) => proxy.open)
      return {
        note: `${hit.length} proxies`,
        lastsMs: scene.random.whole(300, maxMs),
        repair: async () => {
          for (const proxy of hit) proxy.weather(undefined)
          return open > 0
        },
      }
    },
  }
}

const blackHole = (leg: Leg): Fault =>
  weatherFault(leg, 'black hole', 7_000, ({ random }) => ({
    kind: 'black hole',
    towards: random.pick(['server', 'client', 'both'] as const),
  }))

const latency = (leg: Leg): Fault =>
  weatherFault(leg, 'latency', 2_500, ({ random }) => ({ kind: 'latency', ms: random.whole(20, 300) }))

const bandwidth = (leg: Leg): Fault =>
  weatherFault(leg, 'bandwidth', 2_500, ({ random }) => ({
    kind: 'bandwidth',
    towards: 'both',
    bytesPerS: random.whole(5_000, 100_000),
  }))

/** A fault that hits the open connections once. It takes effect if a connection is open. */
function blow(leg: Leg, kind: string, injectOn: (proxy: TcpProxy) => number): Fault {
  return {
    kind: `${leg.name} ${kind}`,
    group: leg.group,
    weight: 3,
    inject: async (scene) => {
      const hit = some(scene, leg)
      const count = sum(hit, injectOn)
      return {
        note: `${count} connection(s)`,
        lastsMs: scene.random.whole(0, 300),
        repair: async () => {
          // A half-closed connection may stay open for ever, so the repair cuts it.
          if (kind === 'half-close') for (const proxy of hit) proxy.cut()
          return count > 0
        },
      }
    },
  }
}

const cutMidway = (leg: Leg): Fault => ({
  kind: `${leg.name} cut in the middle of a frame`,
  group: leg.group,
  weight: 3,
  inject: async (scene) => {
    const hit = some(scene, leg)
    const before = sum(hit, (proxy) => proxy.cutsMidway)
    for (const proxy of hit) proxy.cutMidway(true)
    const cut = await becomesTrue(() => sum(hit, (proxy) => proxy.cutsMidway) > before, 3_000)
    return {
      note: `${hit.length} proxies`,
      lastsMs: scene.random.whole(0, 500),
      repair: async () => {
        for (const proxy of hit) proxy.cutMidway(false)
        return cut
      },
    }
  },
})

/** A new connection is reset after one of these numbers of bytes from the server. The largest one is reached while a channel is opened. */
const SET_UP_BYTES = [0, 1, 8, 60, 300, 560, 620, 700]

const cutInSetUp = (leg: Leg): Fault => ({
  kind: `${leg.name} cut during connection set-up`,
  group: leg.group,
  weight: 3,
  inject: async (scene) => {
    const hit = some(scene, leg)
    const bytes = scene.random.pick(SET_UP_BYTES)
    const before = sum(hit, (proxy) => proxy.accepted)
    for (const proxy of hit) {
      proxy.cutAfterBytes(bytes)
      proxy.cut()
    }
    const tried = await becomesTrue(() => sum(hit, (proxy) => proxy.accepted) > before)
    return {
      note: `after ${bytes} bytes`,
      lastsMs: scene.random.whole(300, 1_500),
      repair: async () => {
        for (const proxy of hit) {
          proxy.cutAfterBytes(undefined)
          // The limit of an accepted connection stays, and could cut the connection at any later time.
          proxy.cut()
        }
        return tried
      },
    }
  },
})

/** Acts like a broker that is being drained: it sends `connection.close` on new connections, immediately or after some responses. */
const closedAsOpened: Fault = {
  kind: 'AMQP connections closed as they open',
  group: 'amqp leg',
  weight: 6,
  inject: async (scene) => {
    const hit = some(scene, amqpLeg)
    const before = sum(hit, (proxy) => proxy.closedAsOpened)
    for (const proxy of hit) {
      proxy.closeAsOpened(scene.random.whole(0, 4))
      proxy.cut()
    }
    const closed = await becomesTrue(() => sum(hit, (proxy) => proxy.closedAsOpened) > before)
    return {
      note: `${hit.length} proxies`,
      lastsMs: scene.random.whole(0, 2_000),
      repair: async () => {
        for (const proxy of hit) proxy.closeAsOpened(undefined)
        return closed
      },
    }
  },
}

const faultsOf = (leg: Leg): readonly Fault[] => [
  latency(leg),
  bandwidth(leg),
  blackHole(leg),
  blow(leg, 'reset', (proxy) => proxy.cut()),
  blow(leg, 'half-close', (proxy) => proxy.halfClose()),
  cutMidway(leg),
  cutInSetUp(leg),
]

export const networkFaults: readonly Fault[] = [...faultsOf(amqpLeg), closedAsOpened, ...faultsOf(mysqlLeg)]
