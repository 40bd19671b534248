// Scenarios for the alerts: each row lists the series that differ from those of a healthy suite, and the alerts that must fire.
import { services } from '@ims/accounts/suite'

/** Promtool's notation for the values of a series, one every ten seconds unless the scenario sets `everyS`. */
type Values = string
const PER_MINUTE = 6

/** Constant values, each for a number of minutes. */
const level = (...parts: readonly (readonly [value: number, minutes: number])[]): Values =>
  parts.map(([value, minutes]) => `${value}x${minutes * PER_MINUTE - 1}`).join(' ')

/** A counter that rises at each rate (per second) for a number of minutes. */
function rising(...parts: readonly (readonly [perSecond: number, minutes: number])[]): Values {
  let from = 0
  return parts
    .map(([perSecond, minutes]) => {
      const step = perSecond * 10
      const text = `${from}+${step}x${minutes * PER_MINUTE - 1}`
      from += step * minutes * PER_MINUTE
      return text
    })
    .join(' ')
}

/** Nothing is scraped for this many minutes. */
const gone = (minutes: number): Values => `_x${minutes * PER_MINUTE}`

type Series = Readonly<Record<string, Values>>

/** A minute, and the only alerts that fire then. */
type Firing = readonly [minute: number, alerts: readonly string[]]

export interface Scenario {
  readonly name: string
  /** Series in place of, or in addition to, those of a healthy suite. */
  readonly series: Series
  /** Series of a healthy suite that are missing. */
  readonly without?: RegExp
  readonly firing: readonly Firing[]
  /** Seconds between two values, 10 by default. With 60, each minute in `series` and `firing` stands for six minutes. */
  readonly everyS?: number
}

/** Each consumer, with one of its queues. */
const CONSUMERS: Readonly<Record<string, string>> = Object.fromEntries(
  services.flatMap(({ name, consumes: [queue] }) => (queue === undefined ? [] : [[name, queue]])),
)
const SERVICES = ['producer', ...Object.keys(CONSUMERS)]
/** The length of the series of the healthy suite. */
const LENGTH_MINUTES = 320

const ready = (service: string, instance = 'a') => `ims_ready{service="${service}",instance="${instance}"}`
const up = (service: string, instance = 'a') => `up{job="ims",service="${service}",instance="${instance}"}`
const broker = (instance = 'r0') => `up{job="rabbitmq",instance="${instance}"}`
const depth = (queue: string) => `rabbitmq_detailed_queue_messages{queue="${queue}"}`
const deadLettersOn = (instance: string) =>
  `rabbitmq_detailed_queue_messages{queue="create_item.dead-letter",instance="${instance}"}`
const consumers = (queue: string) => `rabbitmq_detailed_queue_consumers{queue="${queue}"}`
const answered = (status: number) =>
  `ims_http_request_duration_seconds_count{service="producer",route="/create_item",method="POST",status="${status}"}`
const failedBecause = (reason: string) =>
  `ims_http_requests_failed_total{service="producer",route="/create_item",status="503",reason="${reason}"}`
const confirmed = (queue: string) => `ims_messages_confirmed_total{service="producer",queue="${queue}"}`
const listed = (le: string) => `ims_rpc_duration_seconds_bucket{service="producer",queue="order_processing",le="${le}"}`
/** Listing pages, five per second. Each takes less than 0.1 s, or between 1 and 2.5 s. */
const listing = (...parts: readonly (readonly [isSlow: boolean, minutes: number])[]): Series => ({
  [listed('0.1')]: rising(...parts.map(([isSlow, minutes]) => [isSlow ? 0 : 5, minutes] as const)),
  [listed('1')]: rising(...parts.map(([isSlow, minutes]) => [isSlow ? 0 : 5, minutes] as const)),
  [listed('2.5')]: rising(...parts.map(([, minutes]) => [5, minutes] as const)),
  [listed('+Inf')]: rising(...parts.map(([, minutes]) => [5, minutes] as const)),
})
const channel = (metric: string, name: string) =>
  `rabbitmq_detailed_channel_messages_${metric}{instance="r0",channel="${name}"}`
const unacked = (name: string) => channel('unacked', name)
const acked = (name: string) => channel('acked_total', name)

/** The series of a healthy suite that gets 20 requests per second. */
export const HEALTHY: Series = Object.fromEntries([
  ...SERVICES.flatMap((service) => [
    [up(service), level([1, LENGTH_MINUTES])],
    [ready(service), level([1, LENGTH_MINUTES])],
    [`process_start_time_seconds{service="${service}",instance="a"}`, level([1_700_000_000, LENGTH_MINUTES])],
  ]),
  [broker(), level([1, LENGTH_MINUTES])],
  ['up{job="rabbitmq-node",instance="r0"}', level([1, LENGTH_MINUTES])],
  ['rabbitmq_unreachable_cluster_peers_count{instance="r0"}', level([0, LENGTH_MINUTES])],
  ['rabbitmq_alarms_memory_used_watermark{instance="r0"}', level([0, LENGTH_MINUTES])],
  ['rabbitmq_alarms_free_disk_space_watermark{instance="r0"}', level([0, LENGTH_MINUTES])],
  ['rabbitmq_disk_space_available_bytes{instance="r0"}', level([60e9, LENGTH_MINUTES])],
  ['rabbitmq_disk_space_available_limit_bytes{instance="r0"}', level([1e9, LENGTH_MINUTES])],
  [answered(200), rising([20, LENGTH_MINUTES])],
  // Invalid requests, and replies to a requester that has disconnected, are not failures of the suite.
  [answered(400), rising([1, LENGTH_MINUTES])],
  [
    'ims_messages_not_accepted_total{service="consumer_four",queue="replies",reason="unroutable"}',
    rising([1, LENGTH_MINUTES]),
  ],
  ...Object.entries(CONSUMERS).flatMap(([service, queue]) => [
    // Each scrape finds a few messages in flight.
    [depth(queue), `0+1x4 3x${LENGTH_MINUTES * PER_MINUTE}`],
    [consumers(queue), level([1, LENGTH_MINUTES])],
    [confirmed(queue), rising([5, LENGTH_MINUTES])],
    [depth(`${queue}.dead-letter`), level([0, LENGTH_MINUTES])],
    [unacked(service), level([2, LENGTH_MINUTES])],
    [acked(service), rising([5, LENGTH_MINUTES])],
  ]),
  ...Object.entries(listing([false, LENGTH_MINUTES])),
  ['ims_inventory_ids_used_ratio{service="consumer_two",instance="a"}', level([0.1, LENGTH_MINUTES])],
  ['ims_api_keys_problems{service="producer",instance="a"}', level([0, LENGTH_MINUTES])],
  ['ims_api_keys_valid{service="producer",instance="a"}', level([2, LENGTH_MINUTES])],
])

const ofDatabase = services.filter(({ tables }) => tables).map(({ name }) => name)
const all = (services: readonly string[], values: Values, of = ready): Series =>
  Object.fromEntries(services.map((service) => [of(service), values]))
/** All creates succeed for `well` minutes, a share of them fails with `reason` for `bad` minutes, and then all succeed again. */
const failing = (well: number, bad: number, { share = 1, reason = 'disconnected' } = {}): Series => ({
  [answered(200)]: rising([20, well], [20 * (1 - share), bad], [20, 120]),
  [answered(503)]: rising([0, well], [20 * share, bad], [0, 120]),
  [failedBecause(reason)]: rising([0, well], [20 * share, bad], [0, 120]),
})
/** The minute in which the event of a scenario happens. */
export const EVENT_MINUTE = 60
const T = EVENT_MINUTE
const W = 'Watchdog'

/** In most scenarios, an event happens in `EVENT_MINUTE`. Minutes count from the start of the scenario. */
export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'normal load, for four hours',
    series: {},
    firing: [
      [5, [W]],
      [T, [W]],
      [4 * 60, [W]],
    ],
  },
  {
    name: 'the producer is overloaded for 3 s: 9,492 requests are refused within one scrape',
    series: {
      [answered(503)]: `0x${T * PER_MINUTE} 9492x600`,
      [failedBecause('over-limit')]: `0x${T * PER_MINUTE} 9492x600`,
    },
    firing: [
      [T + 1, [W]],
      [T + 2, [W]],
      [T + 4, [W]],
      [T + 10, [W]],
    ],
  },
  {
    name: 'one nack',
    series: { [answered(503)]: `0x${T * PER_MINUTE} 1x600` },
    firing: [
      [T + 1, [W]],
      [T + 3, [W]],
    ],
  },
  {
    name: 'every request fails',
    series: failing(T, 60, { reason: 'internal' }),
    firing: [
      [T + 1, [W]],
      [T + 4, [W, 'RequestsFailing']],
      [T + 12, [W, 'RequestsFailing', 'ErrorBudgetBurning', 'ErrorBudgetBurningSlowly']],
      [T + 62, [W]],
    ],
  },
  {
    name: 'one request in ten fails, for an hour',
    series: failing(T, 60, { share: 0.1, reason: 'no-reply' }),
    firing: [
      [T + 20, [W]],
      [T + 50, [W, 'ErrorBudgetBurning', 'ErrorBudgetBurningSlowly']],
      [T + 62, [W]],
    ],
  },
  {
    name: 'the broker is down for 30 s',
    series: {
      ...all(SERVICES, level([1, T], [0, 0.5], [1, 60])),
      [broker()]: level([1, T], [0, 0.5], [1, 60]),
      ...failing(T, 0.5),
    },
    firing: [
      [T + 0.5, [W]],
      [T + 1, [W]],
      [T + 3, [W]],
      [T + 5, [W]],
    ],
  },
  {
    name: 'the broker is down for 10 minutes',
    series: {
      ...all(SERVICES, level([1, T], [0, 10], [1, 60])),
      [broker()]: level([1, T], [0, 10], [1, 60]),
      ...failing(T, 10),
    },
    firing: [
      [T + 0.5, [W]],
      [T + 1.25, [W, 'BrokerUnavailable']],
      // Alertmanager suppresses the other alerts while BrokerUnavailable fires.
      [T + 6, [W, 'BrokerUnavailable', 'BrokerNodeDown', 'RequestsFailing', 'ServiceNotReady', 'InstanceNotReady']],
      [T + 12.5, [W, 'BrokerUnavailable']],
      [T + 14, [W]],
    ],
  },
  {
    name: 'RabbitMQ exposes no metrics, but all services can use it',
    series: { [broker()]: level([1, T], [0, 10], [1, 60]) },
    firing: [
      [T + 1.5, [W]],
      [T + 5, [W, 'BrokerNodeDown']],
      [T + 12, [W]],
    ],
  },
  {
    name: 'RabbitMQ is no longer a scrape target, but all services can use it',
    series: { [broker()]: `${level([1, T])} stale` },
    firing: [[T + 5, [W, 'BrokerNodeDown']]],
  },
  {
    name: 'two of three brokers are down',
    series: {
      [broker('r1')]: level([1, T], [0, 30], [1, 60]),
      [broker('r2')]: level([1, T], [0, 30], [1, 60]),
      'rabbitmq_unreachable_cluster_peers_count{instance="r0"}': level([0, T], [2, 30], [0, 60]),
    },
    firing: [
      [T + 0.5, [W]],
      [T + 3, [W, 'BrokerMajorityLost', 'BrokerNodeDown']],
      [T + 34, [W]],
    ],
  },
  {
    name: 'a RabbitMQ in another namespace loses nodes, raises alarms and has dead letters',
    series: {
      'up{job="rabbitmq",namespace="shop",instance="x"}': level([0, 120]),
      'up{job="rabbitmq",namespace="shop",instance="y"}': level([1, 120]),
      'rabbitmq_unreachable_cluster_peers_count{namespace="shop",instance="y"}': level([1, 120]),
      'rabbitmq_alarms_memory_used_watermark{namespace="shop",instance="y"}': level([1, 120]),
      'rabbitmq_alarms_free_disk_space_watermark{namespace="shop",instance="y"}': level([1, 120]),
      'rabbitmq_detailed_queue_messages{namespace="shop",queue="orders.dead-letter",instance="y"}': level([5, 120]),
    },
    firing: [[T + 30, [W]]],
  },
  {
    name: 'one of three brokers is down: a warning',
    series: {
      [broker('r1')]: level([1, 240]),
      [broker('r2')]: level([1, T], [0, 30], [1, 60]),
      'rabbitmq_unreachable_cluster_peers_count{instance="r0"}': level([0, T], [1, 30], [0, 60]),
    },
    firing: [
      [T + 1, [W]],
      [T + 3, [W, 'BrokerNodeDown']],
      [T + 31, [W]],
    ],
  },
  {
    name: 'the broker raises a memory alarm',
    series: {
      'rabbitmq_alarms_memory_used_watermark{instance="r0"}': level([0, T], [1, 10], [0, 60]),
      ...failing(T, 10, { reason: 'blocked' }),
    },
    firing: [
      [T + 1, [W, 'BrokerMemoryAlarm']],
      [T + 3.5, [W, 'BrokerMemoryAlarm', 'RequestsFailing']],
      [T + 12.5, [W, 'BrokerMemoryAlarm']],
      [T + 14, [W]],
    ],
  },
  {
    name: "the broker's disk fills up",
    series: {
      'rabbitmq_disk_space_available_bytes{instance="r0"}': level([60e9, T], [1.5e9, 20], [0.5e9, 20], [60e9, 20]),
      'rabbitmq_alarms_free_disk_space_watermark{instance="r0"}': level([0, T + 20], [1, 20], [0, 20]),
    },
    firing: [
      [T + 3, [W]],
      [T + 6, [W, 'BrokerDiskLow']],
      [T + 21, [W, 'BrokerDiskLow', 'BrokerDiskAlarm']],
      [T + 44, [W]],
    ],
  },
  {
    name: 'the database is down for an hour',
    series: {
      ...all(ofDatabase, level([1, T], [0, 60], [1, 60])),
      ...Object.fromEntries(
        ['create_item', 'stock_management'].flatMap((queue) => [
          [consumers(queue), level([1, T], [0, 60], [1, 60])],
          [depth(queue), `0x${T * PER_MINUTE - 1} 0+50x359 0x360`],
        ]),
      ),
    },
    firing: [
      [T + 1, [W, 'DatabaseUnavailable']],
      [T + 30, [W, 'DatabaseUnavailable', 'QueueWithoutConsumer', 'ServiceNotReady', 'InstanceNotReady', 'BacklogOld']],
      [T + 62.5, [W, 'DatabaseUnavailable']],
      [T + 64, [W]],
    ],
  },
  {
    name: 'the database is down for 60 s: one alert, and none about slow listings afterwards',
    series: {
      ...all(ofDatabase, level([1, T], [0, 1], [1, 60])),
      ...listing([false, T], [true, 1], [false, 60]),
    },
    firing: [
      [T + 1, [W, 'DatabaseUnavailable']],
      [T + 3, [W, 'DatabaseUnavailable']],
      [T + 5, [W]],
      [T + 8, [W]],
    ],
  },
  {
    name: 'the database is slow, and readiness flaps for 330 s',
    series: all(ofDatabase, `1x${T * PER_MINUTE - 1} 0x2 1x0 0x2 1x1 0x2 1x0 0x2 1x0 0x2 1x1 0x2 1x0 0x1 1x300`),
    firing: [
      // The services are ready at this moment, but the alerts still fire.
      [T + 3.5, [W, 'ServiceNotReady', 'InstanceNotReady']],
      [T + 4.5, [W, 'ServiceNotReady', 'InstanceNotReady']],
      [T + 9, [W]],
    ],
  },
  {
    name: 'consumer four has a wrong password',
    series: { [ready('consumer_four')]: level([1, T], [0, 30], [1, 60]) },
    firing: [
      [T + 1.25, [W]],
      [T + 2, [W, 'ServiceNotReady', 'InstanceNotReady']],
      [T + 5, [W, 'ServiceNotReady', 'InstanceNotReady']],
      [T + 33, [W]],
    ],
  },
  {
    name: 'a consumer is restarted',
    series: {
      [up('consumer_two')]: level([1, T], [0, 0.5], [1, 60]),
      [ready('consumer_two')]: `1x${T * PER_MINUTE - 1} _x3 0x0 1x300`,
      'process_start_time_seconds{service="consumer_two",instance="a"}': level([1, T], [2, 60]),
    },
    firing: [
      [T + 0.5, [W]],
      [T + 1, [W]],
      [T + 2, [W]],
      [T + 5, [W]],
    ],
  },
  {
    name: 'three replicas of a consumer are restarted one after the other',
    series: Object.fromEntries(
      ['a', 'b', 'c'].map((instance, n) => [
        `process_start_time_seconds{service="consumer_two",instance="${instance}"}`,
        level([1_700_000_000, T + n], [1_700_003_600, 60]),
      ]),
    ),
    firing: [
      [T + 2.5, [W]],
      [T + 5, [W]],
    ],
  },
  {
    name: 'a new consumer becomes ready after 80 s: it waits for a migration',
    series: { [ready('consumer_three')]: `_x${T * PER_MINUTE} 0x7 1x300` },
    firing: [
      [T + 1.25, [W]],
      [T + 1.75, [W]],
      [T + 2.25, [W]],
      [T + 2.75, [W]],
    ],
  },
  {
    name: 'a new consumer is ready for a minute and then not ready for a minute',
    series: { [ready('consumer_three')]: `_x${(T - 1) * PER_MINUTE} 1x5 0x5 1x300` },
    firing: [
      [T + 0.75, [W]],
      [T + 1.25, [W]],
    ],
  },
  {
    name: 'a new consumer never becomes ready',
    series: { [ready('consumer_three')]: `_x${T * PER_MINUTE} 0x300` },
    firing: [
      [T + 1, [W]],
      [T + 2, [W, 'ServiceNotReady', 'InstanceNotReady']],
    ],
  },
  {
    name: 'a consumer is not ready for 80 s',
    series: { [ready('consumer_four')]: `1x${T * PER_MINUTE - 1} 0x7 1x300` },
    firing: [
      [T + 1.25, [W]],
      [T + 2.5, [W]],
      [T + 3.25, [W]],
    ],
  },
  {
    name: 'a consumer is not ready for 110 s: the alert fires during that time, not afterwards',
    series: { [ready('consumer_four')]: `1x${T * PER_MINUTE - 1} 0x10 1x300` },
    firing: [
      [T + 1, [W]],
      [T + 1.75, [W, 'ServiceNotReady', 'InstanceNotReady']],
      [T + 4.25, [W]],
    ],
  },
  {
    name: 'a consumer stops and is not restarted',
    series: {
      [up('consumer_two')]: `${level([1, T])} stale`,
      [ready('consumer_two')]: `${level([1, T])} stale`,
      'process_start_time_seconds{service="consumer_two",instance="a"}': `${level([1, T])} stale`,
      [consumers('create_item')]: level([1, T], [0, 60]),
      [depth('create_item')]: `0x${T * PER_MINUTE - 1} 0+50x359`,
    },
    firing: [
      [T + 0.5, [W]],
      [T + 1.5, [W, 'ServiceDown']],
      [T + 3, [W, 'ServiceDown', 'QueueWithoutConsumer']],
    ],
  },
  {
    name: 'one of two consumers freezes with messages in flight',
    series: {
      [up('consumer_two', 'b')]: level([1, T], [0, 29], [1, 30]),
      [ready('consumer_two', 'b')]: `1x${T * PER_MINUTE - 1} _x174 1x180`,
      [unacked('frozen')]: level([3, T], [40, 29], [0, 30]),
      [acked('frozen')]: rising([5, T], [0, 29], [5, 30]),
    },
    firing: [
      [T + 1, [W]],
      [T + 3, [W, 'InstanceDown']],
      [T + 9, [W, 'InstanceDown', 'MessagesStuck']],
      [T + 31, [W]],
    ],
  },
  {
    name: 'a consumer crashes in a loop: 30 s up, 20 s down',
    series: {
      [up('consumer_three')]: `1x${T * PER_MINUTE - 1} ${'0x1 1x2 '.repeat(20)}1x200`,
      'process_start_time_seconds{service="consumer_three",instance="a"}': `1x${T * PER_MINUTE - 1} ${Array.from({ length: 20 }, (_, n) => `_x2 ${n + 2}x2`).join(' ')} 30x200`,
    },
    firing: [
      [T + 1, [W]],
      [T + 5, [W, 'ServiceRestarting']],
      [T + 15, [W, 'ServiceRestarting']],
      [T + 30, [W]],
    ],
  },
  {
    name: 'a backlog of 500,000 messages does not shrink',
    series: { [depth('create_item')]: level([0, T], [500_000, 60], [0, 60]) },
    firing: [
      [T + 3, [W]],
      [T + 8, [W, 'BacklogOld']],
      [T + 61, [W]],
    ],
  },
  {
    name: 'a backlog of 50,000 messages is processed within 5 minutes',
    series: {
      [depth('create_item')]: `0x${T * PER_MINUTE - 1} 50000-1600x30 3x300`,
      [confirmed('create_item')]: rising([5, T - 1], [830, 1], [5, 60]),
    },
    firing: [
      [T + 3, [W]],
      [T + 6, [W]],
      [T + 10, [W]],
    ],
  },
  {
    name: 'a queue has no consumer',
    series: { [consumers('create_item')]: level([1, T], [0, 30]), [depth('create_item')]: level([0, T], [3, 30]) },
    firing: [
      [T + 1, [W]],
      [T + 3, [W, 'QueueWithoutConsumer']],
    ],
  },
  {
    name: 'listings are slow for 20 minutes',
    series: listing([false, T], [true, 20], [false, 60]),
    firing: [
      [T + 4, [W]],
      [T + 7, [W, 'ListingSlow']],
      [T + 22, [W]],
    ],
  },
  {
    name: 'a consumer cannot dead-letter messages',
    series: {
      'ims_messages_not_accepted_total{service="consumer_two",queue="create_item.dead-letter",reason="unroutable"}':
        rising([0, T], [1, 30], [0, 60]),
    },
    firing: [
      [T + 5, [W]],
      [T + 12, [W, 'MessagesNotConfirmed']],
      [T + 36, [W]],
    ],
  },
  {
    name: 'dead letters wait, scrapes are missing for 10 minutes, and the dead letters are then removed',
    series: { [depth('create_item.dead-letter')]: `0x${T * PER_MINUTE - 1} 7x120 ${gone(10)} 7x120 0x60` },
    firing: [
      [T + 3, [W]],
      [T + 6, [W, 'DeadLettersWaiting']],
      [T + 28, [W, 'DeadLettersWaiting']],
      [T + 51, [W]],
    ],
  },
  {
    name: 'dead letters wait for a day',
    series: { [depth('create_item.dead-letter')]: level([0, T], [7, 250]) },
    everyS: 60,
    firing: [
      [T + 220, [W, 'DeadLettersWaiting']],
      [T + 242, [W, 'DeadLettersWaiting', 'DeadLettersUnattended']],
    ],
  },
  {
    // Each minute stands for six minutes: dead letters for 6 hours, none for 6 hours, then new ones on another node.
    name: 'old dead letters are removed, and another RabbitMQ node reports new ones',
    series: {
      [deadLettersOn('r0')]: `7x${T * PER_MINUTE} 0x${T * PER_MINUTE} stale`,
      [deadLettersOn('r1')]: `_x${2 * T * PER_MINUTE} 3x1200`,
    },
    everyS: 60,
    firing: [[245, [W, 'DeadLettersWaiting']]],
  },
  {
    name: 'dead letters wait for a day, and their queue moves to another RabbitMQ node',
    series: {
      [deadLettersOn('r0')]: `7x${2 * T * PER_MINUTE} stale`,
      [deadLettersOn('r1')]: `_x${2 * T * PER_MINUTE} 7x1200`,
    },
    everyS: 60,
    firing: [
      [220, [W, 'DeadLettersWaiting']],
      [245, [W, 'DeadLettersWaiting', 'DeadLettersUnattended']],
    ],
  },
  {
    name: 'the file of API keys has one bad line, and later no valid line',
    series: {
      'ims_api_keys_problems{service="producer",instance="a"}': level([0, T], [1, 60], [0, 10]),
      'ims_api_keys_valid{service="producer",instance="a"}': level([2, T], [1, 30], [0, 30], [2, 10]),
    },
    firing: [
      [T + 2, [W, 'ApiKeysInvalid']],
      [T + 31, [W, 'ApiKeysInvalid', 'NoValidApiKey']],
      [T + 61, [W]],
    ],
  },
  {
    name: 'the API is open: no key is required',
    without: /^ims_api_keys_valid/,
    series: {},
    firing: [[T, [W]]],
  },
  {
    name: 'half of the ids are used',
    series: { 'ims_inventory_ids_used_ratio{service="consumer_two",instance="a"}': level([0.49, T], [0.51, 60]) },
    firing: [
      [T + 3, [W]],
      [T + 6, [W, 'IdsRunningOut']],
    ],
  },
  {
    name: 'two items have low stock for a quarter of an hour',
    series: { 'ims_inventory_low_stock_items{service="consumer_four",instance="a"}': level([0, T], [2, 15], [0, 60]) },
    firing: [
      [T + 5, [W]],
      [T + 12, [W, 'LowStock']],
      [T + 17, [W]],
    ],
  },
  {
    name: 'the daily backup no longer succeeds',
    series: {
      // Times start at 0 in these tests. The last successful backup was 25 hours earlier.
      'kube_cronjob_created{namespace="ims",cronjob="mysql-backup"}': level([-864_000, LENGTH_MINUTES]),
      'kube_cronjob_status_last_successful_time{namespace="ims",cronjob="mysql-backup"}': level([
        -90_000,
        LENGTH_MINUTES,
      ]),
      // Another application in the same cluster has a CronJob of the same name.
      'kube_cronjob_status_last_successful_time{namespace="other",cronjob="mysql-backup"}': `0+10x${LENGTH_MINUTES * PER_MINUTE}`,
    },
    firing: [
      [T - 5, [W]],
      [T + 10, [W, 'BackupFailed']],
    ],
  },
]
