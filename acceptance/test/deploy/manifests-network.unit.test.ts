// The network policies as files: which connections between pods they allow, on both ends.
import { services } from '@ims/accounts/suite'
import { describe, expect, it } from '@jest/globals'
import { ofKind, portsOf, workloads } from './manifests.ts'
import { networkPolicy, selectedFrom, waysBy } from './network-ways.ts'

const ways = (direction: 'ingress' | 'egress') => waysBy(ofKind('NetworkPolicy'), workloads, direction)

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
      const ports = selectedFrom(workloads, own).flatMap((workload) =>
        portsOf(workload).map(({ containerPort }) => containerPort),
      )
      const single = ingress.flatMap((each) => each.ports).filter(({ endPort }) => endPort === undefined)
      for (const { port } of single) expect(ports).toContain(port)
    }
  })
})
