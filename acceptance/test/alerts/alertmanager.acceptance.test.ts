// A real Alertmanager accepts our configuration, suppresses alerts that follow from another alert, and posts to a receiver.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { json } from 'node:stream/consumers'
import { afterAll, afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { eventually, freePorts } from 'testkit'
import { z } from 'zod'
import { findProgram, type Program } from '../find-program.ts'
import { ROOT } from '../stack.ts'

const CONFIGURATION = join(ROOT, 'dockercompose/observability/alertmanager/alertmanager.yml')
const STARTS_WITHIN_MS = 60_000

/** The name of an alert, and the labels that inhibition rules compare. */
type Alert = readonly [alertname: string, labels?: Readonly<Record<string, string>>]

interface Causes {
  readonly name: string
  /** The alerts that the test sends to Alertmanager. */
  readonly firing: readonly Alert[]
  /** The alerts that Alertmanager does not suppress. */
  readonly reported: readonly string[]
}

const two = { service: 'consumer_two' }
const four = { service: 'consumer_four' }
const CAUSES: readonly Causes[] = [
  {
    name: 'the broker is down',
    firing: [
      ['BrokerUnavailable'],
      ['BrokerNodeDown'],
      ['RequestsFailing'],
      ['ErrorBudgetBurning'],
      ['ServiceNotReady', two],
      ['InstanceNotReady', two],
      ['QueueWithoutConsumer', { queue: 'create_item' }],
      ['MessagesNotConfirmed', two],
    ],
    reported: ['BrokerUnavailable'],
  },
  {
    name: 'the database is down',
    firing: [
      ['DatabaseUnavailable'],
      ['ServiceNotReady', two],
      ['InstanceNotReady', two],
      ['QueueWithoutConsumer', { queue: 'create_item' }],
      ['BacklogOld', { queue: 'create_item' }],
      ['ErrorBudgetBurning'],
      ['ListingSlow'],
    ],
    reported: ['DatabaseUnavailable'],
  },
  {
    name: 'consumer_two is down',
    firing: [
      ['ServiceDown', two],
      ['InstanceDown', two],
      ['QueueWithoutConsumer', { queue: 'create_item' }],
      ['BacklogOld', { queue: 'create_item' }],
    ],
    reported: ['ServiceDown'],
  },
  {
    name: 'consumer_three is down, which leaves two queues without a consumer',
    firing: [
      ['ServiceDown', { service: 'consumer_three' }],
      ['QueueWithoutConsumer', { queue: 'stock_management' }],
      ['QueueWithoutConsumer', { queue: 'stock_adjustment' }],
    ],
    reported: ['ServiceDown'],
  },
  {
    name: 'consumer_four has a wrong password',
    firing: [
      ['ServiceNotReady', four],
      ['InstanceNotReady', four],
      ['QueueWithoutConsumer', { queue: 'order_processing' }],
      ['RequestsFailing'],
      ['ErrorBudgetBurning'],
    ],
    reported: ['ServiceNotReady'],
  },
  {
    name: 'every request fails',
    firing: [['RequestsFailing'], ['ErrorBudgetBurning'], ['ErrorBudgetBurningSlowly']],
    reported: ['RequestsFailing'],
  },
  {
    name: 'four independent causes at once',
    firing: [
      ['ServiceDown', { service: 'consumer_one' }],
      ['QueueWithoutConsumer', { queue: 'create_item' }],
      ['RequestsFailing'],
      ['DeadLettersWaiting', { queue: 'create_item.dead-letter' }],
    ],
    reported: ['DeadLettersWaiting', 'QueueWithoutConsumer', 'RequestsFailing', 'ServiceDown'],
  },
]

const found = findProgram('prometheus-alertmanager', 'prometheus-alertmanager')

if (typeof found === 'string') describe.skip(`Alertmanager, skipped because ${found}`, () => tests())
else describe('Alertmanager', () => tests(found))

const listening = z.object({ port: z.int() })
const shown = z.array(
  z.object({ labels: z.record(z.string(), z.string()), status: z.object({ state: z.enum(['active', 'suppressed']) }) }),
)
const posted = z.object({
  receiver: z.string(),
  status: z.string(),
  alerts: z.array(z.object({ labels: z.record(z.string(), z.string()) })),
})

function tests(program?: Program): void {
  let directory: string
  let child: ChildProcess | undefined
  let url: string
  const notifications: z.infer<typeof posted>[] = []
  const receiver = createServer((request, response) => {
    void json(request).then((body) => {
      notifications.push(posted.parse(body))
      response.end()
    })
  })

  beforeEach(async () => {
    if (!receiver.listening) await once(receiver.listen(0, '127.0.0.1'), 'listening')
    directory = mkdtempSync(join(tmpdir(), 'ims-alertmanager-'))
    const own = readFileSync(CONFIGURATION, 'utf8')
      .replaceAll('http://receiver.invalid/', `http://127.0.0.1:${listening.parse(receiver.address()).port}/`)
      .replace('group_wait: 30s', 'group_wait: 1s')
    writeFileSync(join(directory, 'alertmanager.yml'), own)
    const [port] = await freePorts(1)
    url = `http://127.0.0.1:${port}/api/v2/alerts`
    const options = [`--config.file=${directory}/alertmanager.yml`, `--storage.path=${directory}`]
    const address = [`--web.listen-address=127.0.0.1:${port}`, '--cluster.listen-address=']
    child = spawn(program?.name ?? '', [...options, ...address], { stdio: 'ignore' })
    await eventually(async () => expect((await fetch(url)).status).toBe(200), STARTS_WITHIN_MS)
  })
  afterEach(async () => {
    if (child !== undefined && child.exitCode === null) {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
    rmSync(directory, { recursive: true, force: true })
  })
  afterAll(() => {
    receiver.close()
    receiver.closeAllConnections()
  })

  const fire = async (alerts: readonly Alert[], severity: string) => {
    const body = JSON.stringify(alerts.map(([alertname, labels]) => ({ labels: { alertname, severity, ...labels } })))
    const { status } = await fetch(url, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body })
    expect(status).toBe(200)
  }

  it.each(CAUSES.map((causes) => [causes.name, causes] as const))(
    'suppresses alerts about symptoms, and leaves those about causes active: %s',
    async (_, { firing, reported }) => {
      await fire(firing, 'critical')
      await eventually(async () => {
        const all = shown.parse(await (await fetch(url)).json())
        expect(all).toHaveLength(firing.length)
        const active = all.filter(({ status }) => status.state === 'active')
        expect(active.map(({ labels }) => labels.alertname).sort()).toEqual(reported)
      })
    },
  )

  it('routes each severity to its receiver: pager, warnings or heartbeat', async () => {
    await fire([['RequestsFailing']], 'critical')
    await fire([['DeadLettersWaiting', { queue: 'create_item.dead-letter' }]], 'warning')
    await fire([['Watchdog']], 'none')
    await eventually(() => {
      const calls = notifications.map(({ receiver, status, alerts }) =>
        [receiver, status, alerts[0]?.labels.alertname].join(' '),
      )
      expect(calls).toEqual(
        expect.arrayContaining([
          'pager firing RequestsFailing',
          'warnings firing DeadLettersWaiting',
          'heartbeat firing Watchdog',
        ]),
      )
    }, STARTS_WITHIN_MS)
  })
}
