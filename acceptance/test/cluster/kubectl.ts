// Runs kubectl on the cluster that KUBECONFIG names, and parses its output about pods, Jobs and nodes.
import { setTimeout as pause } from 'node:timers/promises'
import { serviceNames } from '@ims/accounts/suite'
import { run } from 'testkit'
import { z } from 'zod'

export const NAMESPACE = 'ims'
export const SERVICES = serviceNames.map((name) => name.replace('_', '-'))
export const SERVERS = ['rabbitmq', 'mysql'] as const
export const JOBS = ['storage', 'accounts', 'migrate'] as const

const MINUTE_MS = 60_000
const LOOK_EVERY_MS = 1_000

interface Run {
  readonly input?: string
  readonly timeoutMs?: number
}

/** Resolves with the standard output. If kubectl fails or times out, rejects with the command and its output. */
export async function kubectl(args: readonly string[], options: Run = {}): Promise<string> {
  try {
    return await run('kubectl', args, options)
  } catch (error) {
    throw new Error(`kubectl ${args.join(' ')} failed`, { cause: error })
  }
}

/** Runs kubectl in the suite's namespace. */
export const inNamespace = async (args: readonly string[], run?: Run): Promise<string> =>
  await kubectl(['--namespace', NAMESPACE, ...args], run)

const listOf = <T>(item: z.ZodType<T>) => z.object({ items: z.array(item) })

const pod = z
  .object({
    metadata: z.object({ name: z.string(), uid: z.string(), deletionTimestamp: z.string().optional() }),
    status: z.object({ conditions: z.array(z.object({ type: z.string(), status: z.string() })).default([]) }),
  })
  .transform(({ metadata, status }) => ({
    name: metadata.name,
    uid: metadata.uid,
    isTerminating: metadata.deletionTimestamp !== undefined,
    isReady: status.conditions.some(({ type, status }) => type === 'Ready' && status === 'True'),
  }))
export type Pod = z.output<typeof pod>

/** The pods of a Deployment or StatefulSet, including those that are terminating. */
export async function podsOf(name: string): Promise<Pod[]> {
  const selector = `--selector=app.kubernetes.io/name=${name}`
  return listOf(pod).parse(JSON.parse(await inNamespace(['get', 'pods', selector, '--output=json']))).items
}

/** Resolves when the requested number of pods exist, all are ready, and none is terminating. */
export async function settled(name: string, replicas = 1, withinMs = 4 * MINUTE_MS): Promise<Pod[]> {
  return await until(
    async () => {
      const pods = await podsOf(name)
      if (pods.length === replicas && pods.every(({ isReady, isTerminating }) => isReady && !isTerminating)) return pods
      const state = pods.map(({ name, isReady, isTerminating }) => {
        return `${name} is ${isTerminating ? 'terminating' : isReady ? 'ready' : 'not ready'}`
      })
      throw new Error(`${name}: ${replicas} pods expected; ${state.join(', ') || 'there is none'}`)
    },
    { withinMs },
  )
}

const job = z.object({
  metadata: z.object({ name: z.string() }),
  status: z.object({ conditions: z.array(z.object({ type: z.string(), status: z.string() })).default([]) }),
})

/** Resolves when these Jobs are complete. If one fails, rejects at once with the end of its log. */
export async function jobsComplete(names: readonly string[], withinMs: number): Promise<void> {
  let failed: string | undefined
  await until(
    async () => {
      const { items } = listOf(job).parse(JSON.parse(await inNamespace(['get', 'jobs', ...names, '--output=json'])))
      const are = (type: string) =>
        items.filter(({ status }) => status.conditions.some((each) => each.type === type && each.status === 'True'))
      failed = are('Failed')[0]?.metadata.name
      const complete = are('Complete').map(({ metadata }) => metadata.name)
      const open = names.filter((name) => !complete.includes(name))
      if (failed === undefined && open.length > 0) throw new Error(`not complete: Job ${open.join(', ')}`)
    },
    { withinMs },
  )
  if (failed === undefined) return
  const log = await inNamespace(['logs', `job/${failed}`, '--tail=20']).catch(String)
  throw new Error(`Job ${failed} has failed; the end of its log:\n${log}`)
}

const node = z.object({
  metadata: z.object({ name: z.string() }),
  status: z.object({ images: z.array(z.object({ names: z.array(z.string()).nullish() })).default([]) }),
})

export interface Node {
  readonly name: string
  /** Names of images on the node. The API reports at most 50. */
  readonly images: readonly string[]
}

export async function nodes(): Promise<Node[]> {
  const { items } = listOf(node).parse(JSON.parse(await kubectl(['get', 'nodes', '--output=json'])))
  return items.map(({ metadata, status }) => ({
    name: metadata.name,
    images: status.images.flatMap(({ names }) => names ?? []),
  }))
}

/** Calls `ask` every second until it succeeds. At the deadline, rejects with its last error. */
export async function until<T>(ask: () => Promise<T>, { withinMs }: { withinMs: number }): Promise<T> {
  const deadline = performance.now() + withinMs
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      if (performance.now() > deadline) throw error
      await pause(LOOK_EVERY_MS)
    }
  }
}
