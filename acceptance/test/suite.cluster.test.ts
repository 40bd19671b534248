// Deploys the overlay `single` on a real cluster and, under load, updates, rolls back, kills, scales, evicts and deletes it.
// No accepted message is lost.
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { services } from '@ims/accounts/suite'
import { afterAll, describe, expect } from '@jest/globals'
import { z } from 'zod'
import { countDeadLetters, queues } from './cluster/broker.ts'
import {
  inNamespace,
  JOBS,
  jobsComplete,
  kubectl,
  NAMESPACE,
  nodes,
  podsOf,
  SERVERS,
  SERVICES,
  settled,
  until,
} from './cluster/kubectl.ts'
import { LoadPod, removeLoad, type Share, skusLabelled } from './cluster/load.ts'
import { imagesIn, missingImages, overlayWithTag, rendered } from './cluster/overlay.ts'
import { neededStep, say, step } from './cluster/steps.ts'
import { throughService } from './cluster/tunnel.ts'
import { call, SEED_ITEM } from './http.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const overlay = overlayWithTag(process.env.IMS_TAG, join(ROOT, '.local', 'cluster'))
/** The prefix of the sku of every item of this run, so that a run finds its own items. */
const run = `t${randomBytes(3).toString('hex')}`
const MINUTE_MS = 60_000
const STEADY_MS = 10_000
/** One queue of each consumer. */
const QUEUE_OF: Readonly<Record<string, string>> = Object.fromEntries(
  services.flatMap(({ name, consumes: [queue] }) => (queue === undefined ? [] : [[name.replace('_', '-'), queue]])),
)
const consumers = SERVICES.filter((service) => service !== 'producer')

let load: LoadPod
let wasThereBefore = false
let deadLettersBefore = 0
let isDeployed = false

const pause = async (ms: number) => await new Promise<void>((resolve) => setTimeout(resolve, ms))
const reported = ({ calls, failed }: Share) => `${calls} calls during this step, ${failed} failed`
const noneFailed = (share: Share): string => {
  if (share.failed > 0) throw new Error(`${reported(share)}: ${share.why.join('; ')}`)
  return reported(share)
}

/** Applies the overlay and waits until everything is ready. */
async function deploy(): Promise<void> {
  // A Job is immutable. For another tag, it must be deleted and created again.
  await inNamespace(['delete', 'job', ...JOBS, '--ignore-not-found'])
  await kubectl(['apply', '--kustomize', overlay])
  await jobsComplete(JOBS, 5 * MINUTE_MS)
  for (const name of [...SERVERS, ...SERVICES]) await settled(name, 1, 5 * MINUTE_MS)
}

/** Uses --ignore-not-found, because some objects may already have been deleted with their namespace. */
async function removeAll(): Promise<void> {
  await kubectl(['delete', '--kustomize', overlay, '--ignore-not-found', '--timeout=300s'], {
    timeoutMs: 6 * MINUTE_MS,
  })
  await until(
    async () => {
      const left = await kubectl(['get', 'namespace', NAMESPACE, '--ignore-not-found', '--output=name'])
      if (left.trim() !== '') throw new Error(`${left.trim()} is still there`)
    },
    { withinMs: 3 * MINUTE_MS },
  )
}

/** The versions of all Secrets. A version changes with every write to its Secret. */
const secretVersions = async () =>
  await inNamespace(['get', 'secrets', '--output=jsonpath={.items[*].metadata.resourceVersion}'])

const rolledOut = async (deployment: string) => {
  await inNamespace(['rollout', 'status', `deployment/${deployment}`, '--timeout=240s'], { timeoutMs: 5 * MINUTE_MS })
  await settled(deployment)
}

const scaled = async (deployment: string, replicas: number) => {
  await inNamespace(['scale', `deployment/${deployment}`, `--replicas=${replicas}`])
  await settled(deployment, replicas)
}

/** `open` if a pod of `from` can open a connection, otherwise `closed`. */
async function connects(from: string, host: string, port: number): Promise<string> {
  const program = `
    const socket = require('node:net').connect({ host: '${host}', port: ${port}, timeout: 3000 })
    const end = (what) => { console.log(what); process.exit() }
    socket.on('connect', () => end('open')).on('timeout', () => end('closed')).on('error', () => end('closed'))`
  return (await inNamespace(['exec', `deployment/${from}`, '--', 'node', '--eval', program])).trim()
}

const evict = async (pod: string): Promise<string> =>
  await kubectl(['create', '--raw', `/api/v1/namespaces/${NAMESPACE}/pods/${pod}/eviction`, '--filename=-'], {
    input: JSON.stringify({
      apiVersion: 'policy/v1',
      kind: 'Eviction',
      metadata: { name: pod, namespace: NAMESPACE },
    }),
  }).then(
    () => 'evicted',
    (error: unknown) => String(error),
  )

/** Drains `node` of pods that match `selector` for at most `forS` seconds, runs `work`, then uncordons it. Resolves with `drained` or the error. */
async function drained(node: string, selector: string, forS: number, work: () => Promise<void>): Promise<string> {
  const args = ['drain', node, `--pod-selector=${selector}`, '--ignore-daemonsets', `--timeout=${forS}s`]
  try {
    const outcome = await kubectl(args, { timeoutMs: forS * 1_000 + MINUTE_MS }).then(() => 'drained', String)
    await work()
    return outcome
  } finally {
    await kubectl(['uncordon', node])
  }
}

/** Runs two pods of each service, and evicts those on the node of the first producer. The replacements start on other nodes. */
async function drainTheProducersNode(): Promise<void> {
  for (const service of SERVICES) await scaled(service, 2)
  const producers = ['get', 'pods', '--selector=app.kubernetes.io/name=producer']
  const node = await inNamespace([...producers, '--output=jsonpath={.items[0].spec.nodeName}'])
  const outcome = await drained(node, 'app.kubernetes.io/component in (producer, consumer)', 300, async () => {
    for (const service of SERVICES) await settled(service, 2)
  })
  expect(outcome).toBe('drained')
  for (const service of SERVICES) await scaled(service, 1)
}

/** The replacement of the first pod cannot be scheduled, so the second pod must stay for as long as the drain tries. */
async function drainTheOnlyNode(node: string): Promise<void> {
  await scaled('consumer-two', 2)
  const outcome = await drained(node, 'app.kubernetes.io/name=consumer-two', 20, async () => {
    expect(
      (await podsOf('consumer-two')).filter(({ isReady, isTerminating }) => isReady && !isTerminating),
    ).toHaveLength(1)
  })
  expect(outcome).toMatch(/timeout|timed out|did not complete/)
  await settled('consumer-two', 2)
  await scaled('consumer-two', 1)
}

/** Prints the pods and the latest warnings, to explain a failed step. */
async function printClusterState(): Promise<void> {
  const pods = await inNamespace(['get', 'pods', '--output=wide']).catch(String)
  const events = await inNamespace([
    'get',
    'events',
    '--field-selector=type=Warning',
    '--sort-by=.lastTimestamp',
  ]).catch(String)
  say(`pods:\n${pods.trim()}\nthe latest warnings:\n${events.trim().split('\n').slice(-10).join('\n')}`)
}

/** Wraps the body of a step. If it fails, the state of the cluster is printed. */
const checked = (body: () => Promise<string>) => async () => {
  try {
    return await body()
  } catch (error) {
    await printClusterState()
    throw error
  }
}

describe('the suite on a cluster', () => {
  afterAll(async () => {
    await removeLoad().catch(() => {})
    if (wasThereBefore || !isDeployed) return
    await removeAll()
    say(`✓ removed; the data stays in /var/lib/ims on the node`)
  }, 10 * MINUTE_MS)

  neededStep('finds a cluster on which it may deploy', 1, async () => {
    const found = await nodes()
    const existing = await kubectl(['get', 'namespace', NAMESPACE, '--ignore-not-found', '--output=json'])
    const labels = z.object({ metadata: z.object({ labels: z.record(z.string(), z.string()).default({}) }) })
    wasThereBefore = existing.trim() !== ''
    if (wasThereBefore && labels.parse(JSON.parse(existing)).metadata.labels['ims/overlay'] !== 'single')
      throw new Error(
        `namespace ${NAMESPACE} exists and was not created with the overlay single. This test would delete it. Choose another cluster.`,
      )
    const context = (await kubectl(['config', 'current-context'])).trim()
    const were = wasThereBefore ? '; the overlay was already deployed, and stays' : ''
    return `context ${context}, ${found.length} node(s): ${found.map(({ name }) => name).join(', ')}${were}`
  })

  step('looks for the images on the nodes', 1, async () => {
    const wanted = imagesIn(await rendered(overlay))
    const missing = missingImages(
      (await nodes()).flatMap(({ images }) => images),
      wanted,
    )
    if (missing.length === 0) return `all ${wanted.length} are on the node: ${wanted.join(', ')}`
    const detail = `no node lists ${missing.join(', ')} (a node lists at most 50); missing images are pulled`
    return { detail, isPartial: true }
  })

  neededStep(
    `deploys with kubectl apply -k ${overlay.replace(ROOT, '')}`,
    12,
    checked(async () => {
      isDeployed = true
      await deploy()
      return `all complete and ready: Jobs ${JOBS.join(', ')}; ${[...SERVERS, ...SERVICES].join(', ')}`
    }),
  )

  step('changes no pod and no secret when applied again', 3, async () => {
    const now = async () => ({ secrets: await secretVersions(), pods: await Promise.all(SERVICES.map(podsOf)) })
    const before = await now()
    await kubectl(['apply', '--kustomize', overlay])
    await pause(STEADY_MS)
    expect(await now()).toEqual(before)
    return 'every pod and every secret is the same'
  })

  neededStep(
    'handles the four calls of the original suite through the Service',
    3,
    checked(async () => {
      const seen = await throughService(async (http) => {
        await call(`${http}/stock_management`, { json: { sku: SEED_ITEM.sku }, headers: { Prefer: 'wait=10' } })
        const health = await call(`${http}/healthcheck`)
        expect(health).toMatchObject({ status: 200, body: { message: 'Health check message sent' } })
        const created = await call(`${http}/create_item`, { json: SEED_ITEM })
        expect(created).toMatchObject({ status: 200, body: { message: 'Create item message sent' } })
        const listing = async () => (await call(`${http}/order_processing?sku=${SEED_ITEM.sku}`)).body
        await until(async () => expect(await listing()).toEqual([SEED_ITEM]), { withinMs: MINUTE_MS })
        const deleted = await call(`${http}/stock_management`, { json: { sku: SEED_ITEM.sku } })
        expect(deleted).toMatchObject({ status: 200, body: { message: 'Stock management (item delete) message sent' } })
        await until(async () => expect(await listing()).toEqual([]), { withinMs: MINUTE_MS })
        return [health, created, deleted].map(({ status }) => status)
      })
      await until(
        async () => {
          const log = await inNamespace(['logs', 'deployment/consumer-one', '--since=5m'])
          expect(log).toContain('health check received')
        },
        { withinMs: MINUTE_MS },
      )
      return `${seen.join(', ')}; the item is listed, then gone; consumer_one has logged the health check`
    }),
  )

  neededStep('handles load without a failed call', 4, async () => {
    deadLettersBefore = countDeadLetters(await queues())
    const [image] = imagesIn(await rendered(overlay)).filter((name) => /(^|\/)ims\/consumer_two:/.test(name))
    load = new LoadPod(run, image ?? '')
    await load.start()
    return noneFailed(await load.during(async () => await pause(STEADY_MS)))
  })

  for (const service of SERVICES)
    step(
      `updates ${service} without a failed call`,
      8,
      checked(async () => {
        const [old] = await podsOf(service)
        const share = await load.during(async () => {
          await inNamespace(['rollout', 'restart', `deployment/${service}`])
          await rolledOut(service)
        })
        expect((await podsOf(service)).map(({ uid }) => uid)).not.toContain(old?.uid)
        return noneFailed(share)
      }),
    )

  step(
    'rolls back an update that cannot start, without a failed call',
    8,
    checked(async () => {
      const [running] = await podsOf('producer')
      const share = await load.during(async () => {
        await inNamespace(['set', 'image', 'deployment/producer', `producer=registry.invalid/ims/producer:none-${run}`])
        const asked = inNamespace(['rollout', 'status', 'deployment/producer', '--timeout=20s'])
        const outcome = await asked.then(() => 'rolled out', String)
        // Undoes the update before any check, because later steps need a working producer.
        await inNamespace(['rollout', 'undo', 'deployment/producer'])
        await rolledOut('producer')
        expect(outcome).toMatch(/timed out|exceeded/)
      })
      expect((await podsOf('producer')).map(({ uid }) => uid)).toEqual([running?.uid])
      return `the same producer still runs, ${noneFailed(share)}`
    }),
  )

  for (const component of [...SERVICES, ...SERVERS])
    step(
      `loses no accepted item when ${component} is killed`,
      10,
      checked(async () => {
        const [victim] = await podsOf(component)
        // Force deletion of a StatefulSet's pod would start its replacement while the volume is still in use.
        const isServer = SERVERS.some((server) => server === component)
        const how = isServer ? ['--grace-period=1'] : ['--grace-period=0', '--force']
        let backAfterMs = 0
        const share = await load.during(async () => {
          const since = performance.now()
          await inNamespace(['delete', 'pod', victim?.name ?? '', ...how])
          await until(
            async () => {
              const [newest] = await settled(component)
              expect(newest?.uid).not.toBe(victim?.uid)
            },
            { withinMs: MINUTE_MS },
          )
          for (const name of SERVICES) await settled(name)
          backAfterMs = performance.now() - since
        })
        const applied = await load.allApplied()
        return `all ready again after ${(backAfterMs / 1_000).toFixed(1)} s; ${reported(share)}; all ${applied} accepted items are listed`
      }),
    )

  step('enforces the network policies', 2, async () => {
    expect(await connects('consumer-two', 'mysql', 3306)).toBe('open')
    expect(await connects('consumer-one', 'rabbitmq', 5672)).toBe('open')
    const refused = [await connects('consumer-one', 'mysql', 3306), await connects('producer', 'mysql', 3306)]
    if (refused.every((each) => each === 'closed'))
      return 'consumer_one and the producer cannot reach MySQL, consumer_two can'
    if (refused.every((each) => each === 'open'))
      return {
        detail: 'the cluster accepts them but does not enforce them: its network plugin does not support them',
        isPartial: true,
      }
    throw new Error(
      `MySQL's port is ${refused.join(' and ')} for consumer_one and the producer: it must be closed for both`,
    )
  })

  for (const consumer of consumers)
    step(
      `scales ${consumer} from 1 to 3 and back without a failed call`,
      8,
      checked(async () => {
        const share = await load.during(async () => {
          await scaled(consumer, 3)
          await until(async () => expect((await queues()).get(QUEUE_OF[consumer] ?? '')?.consumers).toBe(3), {
            withinMs: MINUTE_MS,
          })
          await scaled(consumer, 1)
        })
        return noneFailed(share)
      }),
    )

  step(
    'evicts one of two consumer_two pods, and the disruption budget protects the other',
    6,
    checked(async () => {
      const budget = ['get', 'poddisruptionbudget', 'consumer-two', '--output=jsonpath={.status.disruptionsAllowed}']
      const outcomes: string[] = []
      const share = await load.during(async () => {
        await scaled('consumer-two', 2)
        await until(async () => expect(await inNamespace(budget)).toBe('1'), { withinMs: MINUTE_MS })
        for (const { name } of await podsOf('consumer-two')) outcomes.push(await evict(name))
        await settled('consumer-two', 2)
        await scaled('consumer-two', 1)
      })
      expect(outcomes[0]).toBe('evicted')
      expect(outcomes[1]).toContain('disruption budget')
      return `one of two was evicted: ${noneFailed(share)}`
    }),
  )

  step(
    'drains a node without a failed call',
    12,
    checked(async () => {
      const found = await nodes()
      if (found.length > 1) return noneFailed(await load.during(drainTheProducersNode))
      const share = await load.during(async () => await drainTheOnlyNode(found[0]?.name ?? ''))
      return `only one node: one of two consumer_two pods was evicted, the disruption budget kept the other, ${noneFailed(share)}`
    }),
  )

  step(
    'has every accepted item, no message in a queue and no new dead letter',
    5,
    checked(async () => {
      const { calls, failed, slowestMs } = await load.stop()
      const applied = await load.allApplied()
      // A quorum queue reports its counts every few seconds.
      await until(
        async () => {
          const all = await queues()
          expect([...all].filter(([name, { messages }]) => messages > 0 && !name.endsWith('.dead-letter'))).toEqual([])
          expect(countDeadLetters(all)).toBe(deadLettersBefore)
        },
        { withinMs: MINUTE_MS },
      )
      return `${applied} items are listed, none was dead-lettered, no queue has a message; ${calls} calls in total, ${failed} failed, slowest ${slowestMs} ms`
    }),
  )

  step(
    'keeps items and messages when it is deleted and deployed again',
    20,
    checked(async () => {
      const listed = (await skusLabelled(run)).length
      await inNamespace(['scale', 'deployment/consumer-two', '--replicas=0'])
      await until(async () => expect(await podsOf('consumer-two')).toEqual([]), { withinMs: MINUTE_MS })
      const waiting = { sku: `${run}-waits`, name: 'Waits on its queue', label: run, price: 1, quantity: 1 }
      const { status } = await throughService(async (http) => await call(`${http}/create_item`, { json: waiting }))
      expect(status).toBe(200)
      await removeAll()
      await deploy()
      await until(async () => expect(await skusLabelled(run)).toHaveLength(listed + 1), { withinMs: MINUTE_MS })
      return `${listed} items are still there, and a message that waited in its queue was applied`
    }),
  )

  step('deletes the items of this run', 15, async () => {
    const skus = await skusLabelled(run)
    await throughService(async (http) => {
      const left = [...skus]
      // Deletes them concurrently, because a long run leaves thousands.
      const some = async () => {
        for (let sku = left.pop(); sku !== undefined; sku = left.pop())
          await call(`${http}/stock_management`, { json: { sku } })
      }
      await Promise.all(Array.from({ length: 8 }, some))
    })
    await until(async () => expect(await skusLabelled(run)).toEqual([]), { withinMs: MINUTE_MS })
    return `${skus.length} items deleted`
  })
})
