// Checks which connections between pods the network policies allow, on both ends.
import { services } from '@ims/accounts/suite'
import { describe, expect, it } from '@jest/globals'
import { ofKind, portsOf, workloads } from './manifests.ts'
import { connectionsBy, networkPolicy, selectedFrom } from './network-connections.ts'

const connections = (direction: 'ingress' | 'egress') => connectionsBy(ofKind('NetworkPolicy'), workloads, direction)

describe('the network policies', () => {
  const isOpen = (names: readonly string[], to: string) => names.map((name) => `${name} → ${to}`).sort()

  it('deny everything that no other policy allows', () => {
    const [everything] = ofKind('NetworkPolicy').filter(({ metadata }) => metadata.name === 'default-deny')
    expect(everything?.spec).toEqual({ podSelector: {}, policyTypes: ['Ingress', 'Egress'] })
  })

  it('allow each connection on both of its ends', () => {
    expect(connections('egress')).toEqual(connections('ingress'))
  })

  it('let each service connect only to the servers that it needs', () => {
    const podsOf = (some: typeof services) => some.map(({ name }) => name.replace('_', '-'))
    const users = [...podsOf(services.filter(({ tables }) => tables)), 'migrate', 'mysql-backup', 'mysql-restore']
    expect(connections('ingress')).toEqual(
      [
        ...isOpen(podsOf(services), 'rabbitmq:5672'),
        ...isOpen(['rabbitmq'], 'rabbitmq:4369'),
        ...isOpen(['rabbitmq'], 'rabbitmq:25672'),
        // Without these ports, commands that query every broker, such as list_queues, wait forever.
        ...isOpen(['rabbitmq'], 'rabbitmq:35672-35682'),
        ...isOpen(users, 'mysql:3306'),
      ].sort(),
    )
  })

  it('name only ports that the pods have, except for the port range of RabbitMQ’s commands', () => {
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
