// Runs a real Prometheus and a real Alertmanager with the shipped rules and routes, and receives their notifications.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { json } from 'node:stream/consumers'
import { eventually, freePorts } from 'testkit'
import { parse } from 'yaml'
import { z } from 'zod'
import { findProgram } from '../find-program.ts'
import { ROOT } from '../stack.ts'

const HERE = join(ROOT, 'dockercompose/observability')
const ASKED_EVERY_MS = 2_000
const STARTS_WITHIN_MS = 60_000

interface Alert {
  readonly alert: string
  /** The labels that distinguish it from other alerts with the same name. */
  readonly labels: string
}

export interface Fired extends Alert {
  readonly firedAtMs: number
  clearedAtMs?: number
}

export interface Notified extends Alert {
  readonly receiver: string
  readonly firedAtMs: number
}

export interface Observers {
  /** Every alert that fired, in order, without the Watchdog. */
  readonly fired: readonly Fired[]
  /** Every alert that Alertmanager sent, once for each time it fired, without the Watchdog. */
  readonly notified: readonly Notified[]
  firing(): string[]
  stop(): Promise<void>
}

const labelled = z.record(z.string(), z.string())
const asked = z.object({ data: z.object({ alerts: z.array(z.object({ state: z.string(), labels: labelled })) }) })
const posted = z.object({
  receiver: z.string(),
  alerts: z.array(z.object({ status: z.string(), labels: labelled, startsAt: z.string() })),
})
const listening = z.object({ port: z.int() })
const scraping = z.looseObject({ scrape_configs: z.array(z.looseObject({ job_name: z.string() })) })

/** Starts Prometheus and Alertmanager, and resolves when both are ready. If one is not installed, resolves with a sentence that says so. */
export async function startObservers(
  directory: string,
  admin: Readonly<Record<string, number>>,
  brokerPorts: readonly number[],
): Promise<Observers | string> {
  const prometheus = findProgram('prometheus', 'prometheus')
  const alertmanager = findProgram('prometheus-alertmanager', 'prometheus-alertmanager')
  if (typeof prometheus === 'string') return prometheus
  if (typeof alertmanager === 'string') return alertmanager
  mkdirSync(directory, { recursive: true })
  const [prometheusPort = 0, alertmanagerPort = 0] = await freePorts(2)
  const fired: Fired[] = []
  const notified: Notified[] = []
  const receiver = createServer((request, response) => {
    void json(request).then((body) => {
      const { receiver, alerts } = posted.parse(body)
      for (const { status, labels, startsAt } of alerts) {
        const one = { receiver, ...named(labels), firedAtMs: Date.parse(startsAt) }
        const isKnown = notified.some((each) => JSON.stringify(each) === JSON.stringify(one))
        if (status === 'firing' && one.alert !== 'Watchdog' && !isKnown) notified.push(one)
      }
      response.end()
    })
  })
  await once(receiver.listen(0, '127.0.0.1'), 'listening')
  const { port } = listening.parse(receiver.address())

  const { scrape_configs, ...others } = scraping.parse(
    parse(readFileSync(join(HERE, 'prometheus/prometheus.yml'), 'utf8')),
  )
  const services = Object.entries(admin).map(([service, port]) => ({ targets: [local(port)], labels: { service } }))
  const configuration = {
    ...others,
    rule_files: [join(HERE, 'prometheus/alerts.yml')],
    alerting: { alertmanagers: [{ static_configs: [{ targets: [local(alertmanagerPort)] }] }] },
    scrape_configs: scrape_configs.map(({ dns_sd_configs, relabel_configs, ...job }) => ({
      ...job,
      static_configs: job.job_name === 'ims' ? services : [{ targets: brokerPorts.map(local) }],
    })),
  }
  // JSON is valid YAML.
  writeFileSync(join(directory, 'prometheus.yml'), JSON.stringify(configuration))
  const routes = readFileSync(join(HERE, 'alertmanager/alertmanager.yml'), 'utf8')
  writeFileSync(
    join(directory, 'alertmanager.yml'),
    routes.replaceAll('http://receiver.invalid/', `http://${local(port)}/`),
  )
  const children = [
    observer(alertmanager.name, [
      `--config.file=${directory}/alertmanager.yml`,
      `--storage.path=${directory}/alertmanager`,
      `--web.listen-address=${local(alertmanagerPort)}`,
      '--cluster.listen-address=',
    ]),
    observer(prometheus.name, [
      `--config.file=${directory}/prometheus.yml`,
      `--storage.tsdb.path=${directory}/prometheus`,
      `--web.listen-address=${local(prometheusPort)}`,
    ]),
  ]
  const watch = async () => {
    const { data } = asked.parse(await (await fetch(`http://${local(prometheusPort)}/api/v1/alerts`)).json())
    const now = data.alerts.filter(({ state }) => state === 'firing').map(({ labels }) => named(labels))
    const active = fired.filter(({ clearedAtMs }) => clearedAtMs === undefined)
    for (const each of active) if (!now.some((one) => isSame(one, each))) each.clearedAtMs = Date.now()
    for (const one of now)
      if (one.alert !== 'Watchdog' && !active.some((each) => isSame(one, each)))
        fired.push({ ...one, firedAtMs: Date.now() })
  }
  const timer = setInterval(() => void watch().catch(() => {}), ASKED_EVERY_MS)
  const stop = async () => {
    clearInterval(timer)
    for (const { child } of children) {
      child.kill('SIGKILL')
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    }
    receiver.close()
    receiver.closeAllConnections()
  }
  try {
    for (const [n, port] of [alertmanagerPort, prometheusPort].entries())
      await eventually(async () => {
        const { status } = await fetch(`http://${local(port)}/-/ready`).catch(() => ({ status: 'no response' }))
        if (status !== 200) throw new Error(`${children[n]?.name} is not ready (${status}): ${children[n]?.lastLine()}`)
      }, STARTS_WITHIN_MS)
  } catch (error) {
    await stop()
    throw error
  }
  return {
    fired,
    notified,
    firing: () => fired.filter(({ clearedAtMs }) => clearedAtMs === undefined).map(({ alert }) => alert),
    stop,
  }
}

function named({ alertname = '', severity, instance, job, ...others }: Record<string, string>): Alert {
  const labels = Object.values(others).sort().join(', ')
  return { alert: alertname, labels: labels === '' ? '' : ` (${labels})` }
}

const isSame = (one: Alert, other: Alert): boolean => one.alert === other.alert && one.labels === other.labels

const local = (port: number): string => `127.0.0.1:${port}`

/** Starts a program, and keeps the last line that it writes to standard error. */
function observer(name: string, options: string[]) {
  const child = spawn(name, options, { stdio: ['ignore', 'ignore', 'pipe'] })
  let last = ''
  createInterface(child.stderr).on('line', (line) => {
    last = line
  })
  return { name, child, lastLine: () => last }
}
