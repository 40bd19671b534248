// The files of the profile `observability` name only metrics, labels, queues, services and data sources that exist.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { serviceNames, services } from '@ims/accounts/suite'
import { contracts } from '@ims/messaging'
import { createMeter, METRICS } from '@ims/runtime'
import { describe, expect, it } from '@jest/globals'
import { parse } from 'yaml'
import { z } from 'zod'
import { manifestsOfOverlay } from '../deploy/manifests.ts'
import { alerts, groups, recordings } from './alert-rules.ts'
import { labelsIn, metricsIn, selectorsIn } from './promql.ts'

const COMPOSE = join(import.meta.dirname, '../../../dockercompose')
const HERE = join(COMPOSE, 'observability')
const read = (path: string) => readFileSync(join(HERE, path), 'utf8')

const SERVICES: readonly string[] = serviceNames

/**
 * RabbitMQ's metrics per queue and channel, from /metrics/detailed of RabbitMQ 4.3.6. See
 * https://www.rabbitmq.com/docs/prometheus#detailed-endpoint.
 */
const OF_RABBITMQ: Readonly<Record<string, readonly string[]>> = {
  queue_coarse_metrics: [
    'rabbitmq_detailed_queue_messages',
    'rabbitmq_detailed_queue_messages_ready',
    'rabbitmq_detailed_queue_messages_unacked',
  ],
  queue_consumer_count: ['rabbitmq_detailed_queue_consumers'],
  channel_metrics: ['rabbitmq_detailed_channel_messages_unacked'],
  channel_queue_metrics: ['rabbitmq_detailed_channel_messages_acked_total'],
  node_coarse_metrics: ['rabbitmq_detailed_process_resident_memory_bytes'],
}
/** Metrics of a broker node, from /metrics. RabbitMQ 3.10 has those of alarms and disk. RabbitMQ 4 also has the unreachable peers. */
const OF_BROKER = [
  'rabbitmq_alarms_memory_used_watermark',
  'rabbitmq_alarms_free_disk_space_watermark',
  'rabbitmq_disk_space_available_bytes',
  'rabbitmq_disk_space_available_limit_bytes',
  'rabbitmq_unreachable_cluster_peers_count',
]
/** Metrics of https://github.com/kubernetes/kube-state-metrics. */
const OF_KUBERNETES = ['kube_cronjob_status_last_successful_time', 'kube_cronjob_created']
/** Every client library exposes these for its process: https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics */
const OF_PROCESSES = ['process_start_time_seconds']
/** Prometheus adds these for each target: https://prometheus.io/docs/concepts/jobs_instances */
const OF_PROMETHEUS = ['up']
/** The labels of our metrics, and those that Prometheus adds to every target. */
const LABELS = ['service', 'le', 'job', 'instance', ...METRICS.flatMap(({ labels }) => labels)]
/** The labels of other programs' metrics. */
const OTHER_LABELS = ['namespace', 'channel', 'cronjob']

const prometheus = z.object({
  global: z.object({ scrape_interval: z.string() }),
  rule_files: z.array(z.string()),
  alerting: z.object({ alertmanagers: z.array(z.unknown()) }),
  scrape_configs: z.array(
    z.object({
      job_name: z.string(),
      metrics_path: z.string().default('/metrics'),
      params: z.object({ family: z.array(z.string()) }).optional(),
      dns_sd_configs: z.array(z.object({ names: z.array(z.string()), type: z.literal('A'), port: z.int() })).length(1),
    }),
  ),
})
const datasource = z.object({ type: z.literal('prometheus'), uid: z.string() })
const dashboard = z.object({
  uid: z.string().min(1),
  templating: z.object({
    list: z.array(
      z.object({ name: z.string(), type: z.literal('datasource'), current: z.object({ value: z.string() }) }),
    ),
  }),
  panels: z.array(
    z.discriminatedUnion('type', [
      z.object({ type: z.literal('row'), id: z.int(), title: z.string() }),
      z.object({
        type: z.enum(['timeseries', 'stat']),
        id: z.int(),
        title: z.string(),
        description: z.string().endsWith('.'),
        datasource,
        targets: z.array(z.object({ refId: z.string(), expr: z.string(), datasource })).min(1),
        gridPos: z.object({ x: z.int().min(0), y: z.int().min(0), w: z.int().min(1), h: z.int().min(1) }),
      }),
    ]),
  ),
})
const datasources = z.object({
  datasources: z.array(
    z.object({ uid: z.string(), url: z.string(), jsonData: z.object({ timeInterval: z.string() }) }),
  ),
})
const { inhibit_rules: inhibitions } = z
  .object({
    inhibit_rules: z.array(z.object({ source_matchers: z.array(z.string()), target_matchers: z.array(z.string()) })),
  })
  .parse(parse(read('alertmanager/alertmanager.yml')))
const compose = z.object({ services: z.record(z.string(), z.unknown()) })

const scraped = prometheus.parse(parse(read('prometheus/prometheus.yml')))
const board = dashboard.parse(JSON.parse(read('grafana/dashboards/ims.json')))
const panels = board.panels.filter((panel) => panel.type !== 'row')
const provisioned = datasources.parse(parse(read('grafana/provisioning/datasources/prometheus.yml'))).datasources
const queries = [
  ...recordings.map(({ record, expr }) => ({ where: `record ${record}`, expr })),
  ...alerts.filter(({ alert }) => alert !== 'Watchdog').map(({ alert, expr }) => ({ where: `alert ${alert}`, expr })),
  ...panels.flatMap(({ title, targets }) => targets.map(({ expr }) => ({ where: `panel ${title}`, expr }))),
]

/** Every series that a service can expose. A histogram has three. */
const OURS = METRICS.flatMap(({ name, type }) =>
  type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
)
/** The metrics that prom-client adds for every process. */
async function ofTheLibrary(): Promise<string[]> {
  const text = await createMeter('service').registry.metrics()
  return [...text.matchAll(/^# TYPE (\w+) /gm)].map(([, name = '']) => name)
}

describe('the queries of the dashboard and the alerts', () => {
  it.each(queries)('use only metrics that exist: $where', async ({ expr }) => {
    const recorded = recordings.map(({ record }) => record)
    const others = [OF_BROKER, OF_KUBERNETES, OF_PROCESSES, OF_PROMETHEUS, recorded].flat()
    const known = [...OURS, ...(await ofTheLibrary()), ...Object.values(OF_RABBITMQ).flat(), ...others]
    expect(metricsIn(expr)).not.toEqual([])
    expect(known).toEqual(expect.arrayContaining(metricsIn(expr)))
  })

  it.each(queries)('use only labels that exist: $where', ({ expr }) => {
    expect([...LABELS, ...OTHER_LABELS]).toEqual(expect.arrayContaining(labelsIn(expr)))
  })

  it('select only queues of the contracts, dead-letter queues and replies', () => {
    const queues = contracts.map(({ queue }) => queue)
    const asked = new Set(queries.flatMap(({ expr }) => selectorsIn(expr, 'queue')))
    // The dashboard shows every queue without a dot in its name.
    const others = ['.+[.].+', '.+[.]dead-letter', 'order_processing', 'replies']
    expect([...asked].sort()).toEqual([...others, queues.join('|')].sort())
    expect(queues.filter((queue) => queue.includes('.'))).toEqual([])
  })

  it('name only services of the suite', () => {
    const asked = queries.flatMap(({ expr }) => selectorsIn(expr, 'service'))
    for (const service of asked)
      expect(SERVICES.filter((name) => new RegExp(`^(?:${service})$`).test(name))).not.toEqual([])
  })
})

describe('the alerts', () => {
  it('include ServiceDown, which names every service', () => {
    const absent = alerts.find(({ alert }) => alert === 'ServiceDown')?.expr ?? ''
    const [every, ...named] = selectorsIn(absent, 'service')
    expect(named.sort()).toEqual([...SERVICES].sort())
    for (const service of SERVICES) expect(service).toMatch(new RegExp(`^(?:${every})$`))
  })

  it('have unique names', () => {
    const names = alerts.map(({ alert }) => alert)
    expect([...new Set(names)]).toEqual(names)
  })

  it('are the same on Kubernetes', () => {
    const prometheusRule = manifestsOfOverlay('observability/component/services-prometheusrule.yaml')
    expect(prometheusRule).toEqual([expect.objectContaining({ kind: 'PrometheusRule', spec: { groups } })])
  })

  it('are sent to the Alertmanager of compose, whose configuration names only existing alerts', () => {
    expect(scraped.alerting.alertmanagers).toEqual([{ static_configs: [{ targets: ['alertmanager:9093'] }] }])
    const text = read('alertmanager/alertmanager.yml')
    const matchers = [...text.matchAll(/alertname=~?"([^"]+)"/g)].flatMap(([, value = '']) => value.split('|'))
    const names = alerts.map(({ alert }) => alert)
    for (const matcher of matchers)
      expect([matcher, names.some((name) => new RegExp(`^(?:${matcher})$`).test(name))]).toEqual([matcher, true])
  })

  /** A new consumer that no inhibition rule names is allowed. It causes one more notification while it is down. */
  const isNamed = (name: string) =>
    inhibitions.some(({ source_matchers }) => source_matchers.includes(`service="${name}"`))
  it.each(services.filter(({ name, consumes }) => consumes.length > 1 || isNamed(name)))(
    'about the queues of $name are inhibited while it is down',
    ({ name, consumes }) => {
      const targets = inhibitions
        .filter(({ source_matchers }) => source_matchers.includes(`service="${name}"`))
        .flatMap(({ target_matchers }) => target_matchers)
        .flatMap((matcher) => /^queue=~?"(.+)"$/.exec(matcher)?.[1]?.split('|') ?? [])
      expect(targets.toSorted()).toEqual(consumes.toSorted())
    },
  )

  it('are listed as a rule file in the configuration of Prometheus', () => {
    expect(scraped.rule_files).toEqual(['alerts.yml'])
    expect(readdirSync(join(HERE, 'prometheus'))).toEqual(expect.arrayContaining(['alerts.yml', 'prometheus.yml']))
  })
})

describe('the scrape configuration of Prometheus', () => {
  const targets = scraped.scrape_configs.map(({ job_name, dns_sd_configs: [sd] }) => [
    job_name,
    sd?.names.toSorted(),
    sd?.port,
  ])

  it('covers the admin port of every service, and RabbitMQ', () => {
    expect(targets).toEqual([
      ['ims', SERVICES.toSorted(), 9090],
      ['rabbitmq', ['rabbitmq'], 15692],
      ['rabbitmq-node', ['rabbitmq'], 15692],
    ])
  })

  it('names only services of docker compose', () => {
    const file = readFileSync(join(COMPOSE, 'docker-compose.yml'), 'utf8')
    const { services } = compose.parse(parse(file, { merge: true }))
    const names = scraped.scrape_configs.flatMap(({ dns_sd_configs: [sd] }) => sd?.names ?? [])
    expect(Object.keys(services)).toEqual(expect.arrayContaining(names))
  })

  it('requests from RabbitMQ only metrics that the queries use, also on Kubernetes', () => {
    const [, rabbitmq] = scraped.scrape_configs
    expect(rabbitmq?.metrics_path).toBe('/metrics/detailed')
    expect(rabbitmq?.params?.family.toSorted()).toEqual(Object.keys(OF_RABBITMQ).sort())
    expect(readFileSync(join(COMPOSE, 'rabbitmq/enabled_plugins'), 'utf8')).toContain('rabbitmq_prometheus')
    const used = new Set(queries.flatMap(({ expr }) => metricsIn(expr)))
    expect([...used]).toEqual(expect.arrayContaining(Object.values(OF_RABBITMQ).flat()))
    const [monitor] = manifestsOfOverlay('observability/component/rabbitmq-servicemonitor.yaml')
    expect(monitor?.spec).toMatchObject({
      endpoints: [
        { path: rabbitmq?.metrics_path, params: rabbitmq?.params },
        // This endpoint has its own job. Otherwise both endpoints would write the same series, such as `up`, for a target.
        { path: '/metrics', relabelings: [{ targetLabel: 'job', replacement: 'rabbitmq-node' }] },
      ],
    })
  })
})

describe('the dashboard', () => {
  it('gives every panel a unique id, and every query a refId that is unique in its panel', () => {
    const ids = board.panels.map(({ id }) => id)
    expect([...new Set(ids)]).toEqual(ids)
    for (const { targets } of panels) expect(new Set(targets.map(({ refId }) => refId)).size).toBe(targets.length)
  })

  it('has no overlapping panels, and none outside the grid', () => {
    const taken = new Set<string>()
    for (const { title, gridPos } of panels) {
      expect([title, gridPos.x + gridPos.w <= 24]).toEqual([title, true])
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1)
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
          expect([title, taken.has(`${x},${y}`)]).toEqual([title, false])
          taken.add(`${x},${y}`)
        }
    }
  })

  it('uses the provisioned data source, whose interval is the scrape interval', () => {
    const [variable] = board.templating.list
    const uids = panels.flatMap((panel) => [panel.datasource.uid, ...panel.targets.map((each) => each.datasource.uid)])
    expect([...new Set(uids)]).toEqual([`\${${variable?.name}}`])
    expect(provisioned).toEqual([
      {
        uid: variable?.current.value,
        url: 'http://prometheus:9090',
        jsonData: { timeInterval: scraped.global.scrape_interval },
      },
    ])
  })

  it('is in the ConfigMap for Kubernetes', () => {
    const kustomization = z
      .object({ configMapGenerator: z.array(z.object({ files: z.array(z.string()) })).length(1) })
      .parse(parse(read('grafana/dashboards/kustomization.yaml')))
    const json = readdirSync(join(HERE, 'grafana/dashboards')).filter((name) => name.endsWith('.json'))
    expect(kustomization.configMapGenerator[0]?.files).toEqual(json)
  })
})
