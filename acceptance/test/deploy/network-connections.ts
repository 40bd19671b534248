// Computes which connections between pods the network policies allow.
import { z } from 'zod'
import { type Manifest, selects, type Workload } from './manifests.ts'

/** A pod selector, in the forms that the manifests use. */
const podSelector = z.strictObject({
  matchLabels: z.record(z.string(), z.string()).default({}),
  matchExpressions: z
    .array(z.strictObject({ key: z.string(), operator: z.literal('In'), values: z.array(z.string()) }))
    .default([]),
})
type Pods = Pick<Workload, 'name' | 'labels'>

/** The workloads of `all` whose pods match the selector. */
export const selectedFrom = <T extends Pods>(
  all: readonly T[],
  { matchLabels, matchExpressions }: z.output<typeof podSelector>,
): T[] =>
  all.filter(
    (pods) =>
      selects(matchLabels, pods) &&
      matchExpressions.every(({ key, values }) => values.includes(pods.labels[key] ?? '')),
  )
const peers = z.array(z.looseObject({ podSelector: podSelector.optional() })).default([])
const rule = z.object({
  from: peers,
  to: peers,
  ports: z.array(z.object({ port: z.int(), endPort: z.int().optional() })),
})
export const networkPolicy = z.object({
  podSelector,
  policyTypes: z.array(z.string()),
  ingress: z.array(rule).default([]),
  egress: z.array(rule).default([]),
})

/** Every connection between two workloads, such as `producer → rabbitmq:5672`, that the policies allow for `direction`. */
export function connectionsBy(
  policies: readonly Pick<Manifest, 'spec'>[],
  workloads: readonly Pods[],
  direction: 'ingress' | 'egress',
): string[] {
  const selected = (selector: z.output<typeof podSelector>) => selectedFrom(workloads, selector)
  const found = policies.flatMap(({ spec }) => {
    const policy = networkPolicy.parse(spec)
    return policy[direction].flatMap(({ from, to, ports }) =>
      [...from, ...to].flatMap((peer) =>
        (peer.podSelector === undefined ? [] : selected(peer.podSelector)).flatMap((other) =>
          selected(policy.podSelector).flatMap((own) =>
            ports.map(({ port, endPort }) => {
              const [from, to] = direction === 'ingress' ? [other, own] : [own, other]
              return `${from.name} → ${to.name}:${port}${endPort === undefined ? '' : `-${endPort}`}`
            }),
          ),
        ),
      ),
    )
  })
  return [...new Set(found)].sort()
}
