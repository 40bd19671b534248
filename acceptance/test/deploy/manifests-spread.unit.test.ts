// The pods of a workload prefer different nodes, whether or not the nodes have zone labels.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from '@jest/globals'
import { parse } from 'yaml'
import { z } from 'zod'
import { KUBERNETES, workloads } from './manifests.ts'

const term = z.object({
  topologyKey: z.string(),
  labelSelector: z.object({ matchLabels: z.record(z.string(), z.string()) }),
})
const preferences = z.object({
  podAntiAffinity: z.strictObject({
    preferredDuringSchedulingIgnoredDuringExecution: z.array(
      z.object({ weight: z.int().positive(), podAffinityTerm: term }),
    ),
  }),
})
const replicated = workloads.filter(({ kind, name }) => kind === 'Deployment' || name === 'rabbitmq')

it.each(replicated.map((workload) => [workload.name, workload] as const))(
  '%s prefers different nodes for its pods, and after that different zones',
  (_, { pod, selector }) => {
    const terms = preferences.parse(pod.affinity).podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution
    const keys = terms.toSorted((a, b) => b.weight - a.weight).map(({ podAffinityTerm }) => podAffinityTerm.topologyKey)
    expect(keys).toEqual(['kubernetes.io/hostname', 'topology.kubernetes.io/zone'])
    for (const { podAffinityTerm } of terms) expect(podAffinityTerm.labelSelector.matchLabels).toEqual(selector)
  },
)

it('no manifest has a soft topology spread, which makes the scheduler ignore nodes without one of its topology labels', () => {
  const files = readdirSync(KUBERNETES, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.yaml'))
  const soft = files.filter((file) => readFileSync(join(KUBERNETES, file), 'utf8').includes('ScheduleAnyway'))
  expect(soft).toEqual([])
})

it('production requires a different node for each broker', () => {
  const patches = z.array(z.looseObject({ path: z.string(), value: z.unknown() }))
  const text = readFileSync(join(KUBERNETES, 'overlays/production/rabbitmq-statefulset-patch.yaml'), 'utf8')
  const required = patches.parse(parse(text)).find(({ path }) => path.includes('requiredDuringScheduling'))
  const broker = workloads.find(({ name }) => name === 'rabbitmq')
  expect(z.array(term).parse(required?.value)).toEqual([
    { topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: broker?.selector } },
  ])
})
