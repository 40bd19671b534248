// The network policies as files: which connections between pods they allow, on both ends.
import { services } from '@ims/accounts/suite'
import { describe, expect, it } from '@jest/globals'
import { z } from 'zod'
import { ofKind, portsOf, selects, workloads } from './manifests.ts'

/** What a NetworkPolicy allows, and to which pods it applies, in the forms that these manifests use. */
const podSelector = z.strictObject({
  matchLabels: z.record(z.string(), z.string()).default({}),
  matchExpressions: z
    .array(z.strictObject({ key: z.string(), operator: z.literal('In'), values: z.array(z.string()) }))
    .default([]),
})
const selected = ({ matchLabels, matchExpressions }: z.output<typeof podSelector>) =>
  workloads.filter(
    (workload) =>
      selects(matchLabels, workload) &&
      matchExpressions.every(({ key, values }) => values.includes(workload.labels[key] ?? '')),
  )
const peers = z.array(z.looseObject({ podSelector: podSelector.optional() })).default([])
const rule = z.object({
  from: peers,
  to: peers,
  ports: z.array(z.object({ port: z.int(), endPort: z.int().optional() })),
})
const networkPolicy = z.object({
  podSelector,
  policyTypes: z.array(z.string()),
  ingress: z.array(rule).default([]),
  egress: z.array(rule).default([]),
})

/** Every connection between two workloads, such as `producer → rabbitmq:5672`, that the policies allow for `direction`. */
function ways(direction: 'ingress' | 'egress'): string[] {
  const found = ofKind('NetworkPolicy').flatMap(({ spec }) => {
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

describe('the network policies', () => {
  const isOpen = (names: readonly string[], to: string) => names.map((name) => `${name} → ${to}`).sort()

  it('deny everything that no other policy allows', () => {
    const [everything] = ofKind('NetworkPolicy').filter(({ metadata }) => metadata.name === 'default-deny')
    expect(everything?.spec).toEqual({ podSelector: {}, policyTypes: ['Ingress', 'Egress'] })
  })

  it('allow each connection on both of its ends', () => {
    expect(ways('egress')).toEqual(ways('ingress'))
  })

  it('let each service connect to what it needs, and to nothing else', () => {
    const podsOf = (some: typeof services) => some.map(({ name }) => name.replace('_', '-'))
    const users = [...podsOf(services.filter(({ tables }) => tables)), 'migrate', 'mysql-backup', 'mysql-restore']
    expect(ways('ingress')).toEqual(
      [
        ...isOpen(podsOf(services), 'rabbitmq:5672'),
        ...isOpen(['rabbitmq'], 'rabbitmq:4369'),
        ...isOpen(['rabbitmq'], 'rabbitmq:25672'),
        // Without these, commands that query every broker, such as list_queues, wait for ever.
        ...isOpen(['rabbitmq'], 'rabbitmq:35672-35682'),
        ...isOpen(users, 'mysql:3306'),
      ].sort(),
    )
  })

  it('name ports that the pods have, besides those of commands', () => {
    for (const { spec } of ofKind('NetworkPolicy')) {
      const { podSelector: own, ingress } = networkPolicy.parse(spec)
      const ports = selected(own).flatMap((workload) => portsOf(workload).map(({ containerPort }) => containerPort))
      const single = ingress.flatMap((each) => each.ports).filter(({ endPort }) => endPort === undefined)
      for (const { port } of single) expect(ports).toContain(port)
    }
  })
})
