// The doctor's container and Job get the passwords that the doctor reads, and no others.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { services } from '@ims/accounts/suite'
import { describe, expect, it } from '@jest/globals'
import { parse, parseAllDocuments } from 'yaml'
import { z } from 'zod'
import { codeBlocks } from '../documents/documents.ts'
import { ROOT } from '../stack.ts'
import { ofKind, workloads } from './manifests.ts'
import { connectionsBy } from './network-connections.ts'
import { RESTRICTIONS } from './restrictions.ts'

const read = (path: string) => readFileSync(join(ROOT, path), 'utf8')
const wanted = [
  'rabbitmq/monitoring-password',
  ...services.flatMap(({ name, tables }) => [
    `${name}/rabbitmq-password`,
    ...(tables === undefined ? [] : [`${name}/mysql-password`]),
  ]),
].sort()

const job = z.object({
  spec: z.object({
    template: z.object({
      spec: z.object({
        containers: z.tuple([z.object({ command: z.array(z.string()) })]),
        volumes: z.tuple([
          z.object({
            projected: z.object({
              sources: z.array(
                z.object({
                  secret: z.object({
                    name: z.string(),
                    items: z.array(z.object({ key: z.string(), path: z.string() })),
                  }),
                }),
              ),
            }),
          }),
        ]),
      }),
    }),
  }),
})
const compose = z.object({
  services: z.object({ doctor: z.object({ command: z.array(z.string()), volumes: z.array(z.string()) }) }),
})

/** The Job of docs/doctor.md, and its network policies. */
const documents = parseAllDocuments(codeBlocks(read('docs/doctor.md'), 'yaml')[0] ?? '').map((document) =>
  z
    .looseObject({ kind: z.string(), metadata: z.looseObject({ namespace: z.string() }), spec: z.unknown() })
    .parse(document.toJS()),
)

describe('the doctor', () => {
  it('has the same restrictions in its Job as every other container', () => {
    expect(documents[0]).toMatchObject({
      kind: 'Job',
      metadata: { namespace: 'ims' },
      spec: {
        template: {
          spec: {
            automountServiceAccountToken: false,
            enableServiceLinks: false,
            securityContext: {
              runAsNonRoot: true,
              runAsUser: 1000,
              runAsGroup: 1000,
              seccompProfile: { type: 'RuntimeDefault' },
            },
            containers: [RESTRICTIONS],
          },
        },
      },
    })
  })

  // The network policies deny all other connections, in both directions.
  it('can connect from its Job only to the broker, its management API and MySQL', () => {
    const labels = z.object({
      spec: z.object({ template: z.object({ metadata: z.object({ labels: z.record(z.string(), z.string()) }) }) }),
    })
    const pods = [...workloads, { name: 'doctor', ...labels.parse(documents[0]).spec.template.metadata }]
    const policies = [...ofKind('NetworkPolicy'), ...documents.slice(1)]
    const expected = ['doctor → mysql:3306', 'doctor → rabbitmq:15672', 'doctor → rabbitmq:5672']
    for (const direction of ['ingress', 'egress'] as const)
      expect(connectionsBy(policies, pods, direction).filter((connection) => connection.includes('doctor'))).toEqual(
        expected,
      )
  })

  // For a service whose password is not in the Job, the doctor reports that it did not check the user.
  it('gets passwords in the Job of docs/doctor.md, including that of monitoring, at the paths that it reads', () => {
    const [text = ''] = codeBlocks(read('docs/doctor.md'), 'yaml')
    const [first] = parseAllDocuments(text).map((document): unknown => document.toJS())
    const { sources } = job.parse(first).spec.template.spec.volumes[0].projected
    const items = sources.flatMap(({ secret }) => secret.items.map((item) => ({ ...item, secret: secret.name })))
    expect(items.map(({ path }) => path)).toContain('rabbitmq/monitoring-password')
    expect(items.filter(({ path }) => !wanted.includes(path))).toEqual([])
    for (const { secret, key, path } of items)
      expect(`${secret.replace(/-account$/, '').replaceAll('-', '_')}/${key}`).toBe(path)
  })

  it('gets the password of every service in the compose file, and runs the same command as the Job', () => {
    const { doctor } = compose.parse(parse(read('dockercompose/docker-compose.yml'), { merge: true })).services
    const folders = doctor.volumes.map((volume) => volume.split(':')[1]).sort()
    // The volume with the password of `monitoring` is not mounted, because it also has the operator's password and the Erlang cookie.
    const owners = [...new Set(wanted.map((path) => path.split('/')[0]))].filter((owner) => owner !== 'rabbitmq')
    expect(folders).toEqual(owners.map((owner) => `/run/accounts/${owner}`).sort())
    const [text = ''] = codeBlocks(read('docs/doctor.md'), 'yaml')
    const [first] = parseAllDocuments(text).map((document): unknown => document.toJS())
    expect(job.parse(first).spec.template.spec.containers[0].command).toEqual([
      ...doctor.command,
      '--management',
      'http://rabbitmq:15672',
    ])
  })
})
