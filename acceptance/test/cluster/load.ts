// Generates load from its own pod outside the suite's namespace, and counts the results for each phase of the test.
import { readFileSync } from 'node:fs'
import { stringify } from 'yaml'
import { z } from 'zod'
import { call } from '../http.ts'
import { kubectl, until } from './kubectl.ts'
import { type Status, skuOf } from './load-program.ts'
import { throughService } from './tunnel.ts'

const LOAD_NAMESPACE = 'ims-load'
const PROGRAM = new URL('load-program.ts', import.meta.url)
const CALLS_PER_SECOND = 20
const READY_WITHIN_MS = 120_000
const APPLIED_WITHIN_MS = 120_000

const status: z.ZodType<Status> = z.object({
  posted: z.int(),
  begun: z.int(),
  overUpTo: z.int(),
  notAccepted: z.array(z.int()),
  calls: z.int(),
  failed: z.int(),
  why: z.array(z.string()),
  slowestMs: z.int(),
  isOver: z.boolean(),
})

/** The most recent status in a log. A line may be truncated, or written by another program. */
function newestStatus(log: string): Status {
  for (const line of log.trim().split('\n').reverse()) {
    const parsed = status.safeParse(parsedJson(line))
    if (parsed.success) return parsed.data
  }
  throw new Error(`the load pod logged no status: ${log.trim().slice(-500) || 'nothing'}`)
}

function parsedJson(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

/** The skus of the accepted items. All these items must exist. */
function acceptedSkus(run: string, { posted, notAccepted }: Status): string[] {
  const unknown = new Set(notAccepted)
  const numbers = Array.from({ length: posted }, (_, index) => index + 1)
  return numbers.filter((n) => !unknown.has(n)).map((n) => skuOf(run, n))
}

/** The calls that ended between two statuses. */
export interface Share {
  readonly calls: number
  readonly failed: number
  readonly why: readonly string[]
}

export class LoadPod {
  readonly #run: string
  readonly #image: string

  /** `run` is the prefix of every sku. `image` is any image with Node.js 24. */
  constructor(run: string, image: string) {
    this.#run = run
    this.#image = image
  }

  async start(): Promise<void> {
    await removeLoad()
    // Kubernetes creates the service account of a new namespace a moment later. Until then no pod can start.
    const input = this.#manifests()
      .map((manifest) => stringify(manifest))
      .join('---\n')
    const apply = async () => await kubectl(['apply', '--filename=-'], { input })
    await until(apply, { withinMs: READY_WITHIN_MS })
    await until(async () => await this.status(), { withinMs: READY_WITHIN_MS })
  }

  async status(): Promise<Status> {
    return newestStatus(await kubectl(['logs', '--namespace', LOAD_NAMESPACE, 'pod/load', '--tail=3']))
  }

  /** Runs `work`, and waits for the calls that are in flight at its end. Resolves with the calls that ended in this time. */
  async during(work: () => Promise<void>): Promise<Share> {
    const before = await this.status()
    await work()
    const after = await this.#later()
    const failed = after.failed - before.failed
    return { calls: after.calls - before.calls, failed, why: failed > 0 ? after.why.slice(-failed) : [] }
  }

  /** Ends the load, waits for the calls in flight, and resolves with all results. */
  async stop(): Promise<Status> {
    const program = 'process.kill(1, "SIGTERM")'
    await kubectl(['exec', '--namespace', LOAD_NAMESPACE, 'pod/load', '--', 'node', '--eval', program])
    return await until(
      async () => {
        const newest = await this.status()
        if (newest.isOver) return newest
        throw new Error('the load pod has not ended')
      },
      { withinMs: READY_WITHIN_MS },
    )
  }

  /** Resolves with the number of accepted items when all of them are listed. Otherwise rejects and names missing items. */
  async allApplied(): Promise<number> {
    const accepted = acceptedSkus(this.#run, await this.status())
    await until(
      async () => {
        const present = new Set(await skusLabelled(this.#run))
        const lost = accepted.filter((sku) => !present.has(sku))
        if (lost.length > 0) throw new Error(`accepted but not listed: ${lost.length} items, ${lost.slice(0, 5)} …`)
      },
      { withinMs: APPLIED_WITHIN_MS },
    )
    return accepted.length
  }

  /** Waits until all calls started so far have ended, and resolves with a status. Later events affect only later calls. */
  async #later(): Promise<Status> {
    const { begun } = await this.status()
    return await until(
      async () => {
        const newest = await this.status()
        if (newest.overUpTo > begun + CALLS_PER_SECOND) return newest
        throw new Error(`the load pod is still at call ${newest.overUpTo} of ${newest.begun}: ${newest.why.join('; ')}`)
      },
      { withinMs: READY_WITHIN_MS },
    )
  }

  #manifests(): object[] {
    const labels = { 'app.kubernetes.io/name': 'load' }
    const metadata = { name: 'load', namespace: LOAD_NAMESPACE, labels }
    const variables = { URL: 'http://producer.ims:5000', RUN: this.#run, CALLS_PER_SECOND: String(CALLS_PER_SECOND) }
    const container = {
      name: 'load',
      image: this.#image,
      imagePullPolicy: 'IfNotPresent',
      command: ['node', '/load/load-program.ts'],
      env: Object.entries(variables).map(([name, value]) => ({ name, value })),
      resources: { requests: { cpu: '25m', memory: '64Mi' }, limits: { memory: '256Mi' } },
      securityContext: {
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      },
      volumeMounts: [{ name: 'program', mountPath: '/load', readOnly: true }],
    }
    const spec = {
      restartPolicy: 'Never',
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      terminationGracePeriodSeconds: 1,
      securityContext: { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [container],
      volumes: [{ name: 'program', configMap: { name: 'load' } }],
    }
    const data = { 'load-program.ts': readFileSync(PROGRAM, 'utf8'), 'package.json': '{ "type": "module" }' }
    return [
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: LOAD_NAMESPACE } },
      { apiVersion: 'v1', kind: 'ConfigMap', metadata, data },
      { apiVersion: 'v1', kind: 'Pod', metadata, spec },
    ]
  }
}

export async function removeLoad(): Promise<void> {
  await kubectl(['delete', 'namespace', LOAD_NAMESPACE, '--ignore-not-found', '--timeout=120s'])
}

const items = z.array(z.object({ sku: z.string() }))

/** The skus of the items with a label, listed through the Service. */
export async function skusLabelled(label: string): Promise<string[]> {
  return await throughService(async (http) => {
    const { status, body } = await call(`${http}/order_processing?label=${label}`)
    if (status !== 200) throw new Error(`GET /order_processing: ${status} ${JSON.stringify(body)}`)
    return items.parse(body).map(({ sku }) => sku)
  })
}
