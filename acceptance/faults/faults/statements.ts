// Faults of statements: they are killed at random, ROLLBACK or COMMIT is refused, or replicas compete for row locks.
import { setTimeout as pause } from 'node:timers/promises'
import type { RowDataPacket } from 'mysql2/promise'
import type { Refusals } from 'testkit'
import { WRITERS } from '../testbed.ts'
import { ITEM, itemOf, publishOnceOrTwice } from '../workload/requests.ts'
import { createThenDelete, crowd, twoForOneSku } from '../workload/scenarios.ts'
import { login } from './account.ts'
import { becomesTrue, messagesIn } from './broker.ts'
import { deadlocks } from './database.ts'
import type { Fault, Scene } from './fault.ts'

const CROWD = 40
const STORM_PAUSE_MS = 2

/** Takes effect if it hits a connection that is running a statement. */
const killStorm: Fault = {
  kind: 'statements killed at random',
  group: 'database',
  weight: 6,
  inject: async ({ testbed, sender, random }) => {
    const connection = await login(testbed)
    const lastsMs = random.whole(2_000, 6_000)
    let on = true
    let hit = 0
    const storm = async () => {
      while (on) {
        // The services' account sees only its own connections, and may kill their statements. The query fails on MySQL 9
        // while a statement contains an emoji, so the loop ignores the error.
        const [rows] = await connection
          .query<RowDataPacket[]>('SELECT id, command FROM information_schema.processlist WHERE id <> CONNECTION_ID()')
          .catch(() => [[]])
        for (const { id, command } of rows) {
          await connection.query('KILL QUERY ?', [id]).catch(() => {})
          if (command === 'Query') hit += 1
        }
        await pause(STORM_PAUSE_MS)
      }
    }
    const over = storm()
    over.catch(() => {})
    try {
      await Promise.all([crowd(sender, random, twoForOneSku, CROWD), pause(lastsMs)])
    } finally {
      on = false
      await over.finally(() => connection.destroy())
    }
    return { note: `${hit} in ${lastsMs} ms`, lastsMs: 0, repair: async () => hit > 0 }
  },
}

/** Errors that servers and proxies return when they interrupt a statement. */
const ERRORS = [
  { errno: 1317, sqlState: '70100', message: 'Query execution was interrupted' },
  { errno: 1053, sqlState: '08S01', message: 'Server shutdown in progress' },
] as const

/** The statement does not reach the server, so the transaction stays open for as long as its connection. */
function endRefused(statement: 'ROLLBACK' | 'COMMIT', maxTimes: number): Fault {
  return {
    kind: `${statement} refused and not executed`,
    group: 'moment',
    weight: 5,
    inject: async ({ testbed, sender, random }) => {
      const error = random.pick(ERRORS)
      const times = random.whole(1, maxTimes)
      const refusals: Refusals[] = []
      for (const name of WRITERS) {
        const refusal = testbed.mysql.get(name)?.refuse(statement, error, times)
        if (refusal) refusals.push(refusal)
      }
      await Promise.all([crowd(sender, random, twoForOneSku, CROWD), crowd(sender, random, createThenDelete, CROWD)])
      for (const refusal of refusals) refusal.end()
      const count = refusals.reduce((sum, refusal) => sum + refusal.count, 0)
      return { note: `${count} times with ${error.errno}`, lastsMs: 0, repair: async () => count > 0 }
    },
  }
}

const HOT_SKUS = 300
const HOT_MESSAGES = 2_000
const HOT_SENDERS = 100
const HOT_QUEUES = ['create_item', 'stock_management', 'stock_adjustment']
const EMPTIED_WITHIN_MS = 60_000
const CHECKED_EVERY_MS = 100

/** All replicas create, change and delete the same few skus. Takes effect if a batch waits for a row lock of another one. */
const fewSkus: Fault = {
  kind: 'three replicas on few skus',
  group: 'database',
  weight: 4,
  inject: async (scene) => {
    const { clients, random } = scene
    const before = await Promise.all([deadlocks(scene), lockWaits(scene)])
    const stopped = new AbortController()
    const checking = checkReadiness(scene, stopped.signal)
    let left = HOT_MESSAGES
    const send = async () => {
      while (left > 0) {
        left -= 1
        await sendHot(scene, `Hö-${random.whole(1, HOT_SKUS)}`)
      }
    }
    await Promise.all(Array.from({ length: HOT_SENDERS }, send))
    // The other clients are paused, because otherwise the queues would never be empty.
    await clients.hold()
    await becomesTrue(async () => {
      const queues = await messagesIn(scene)
      return HOT_QUEUES.every((queue) => queues.get(queue) === 0)
    }, EMPTIED_WITHIN_MS)
    clients.resume()
    stopped.abort()
    const [unready, all] = await checking
    const lost = (await deadlocks(scene)) - before[0]
    const waits = (await lockWaits(scene)) - before[1]
    return {
      note: `${lost} deadlocks, ${waits} waits for a row, not ready in ${unready} of ${all} checks`,
      lastsMs: 0,
      repair: async () => waits > 0,
    }
  },
}

async function lockWaits({ testbed }: Scene): Promise<number> {
  const text = await testbed.stack.servers.mysql.sql("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_waits'")
  return Number(text.trim().split('\t')[1])
}

async function sendHot({ sender, random }: Scene, sku: string): Promise<void> {
  const { history } = sender
  const messageId = history.unique('message')
  const kind = random.pick(['create', 'delete', 'adjust'] as const)
  if (kind === 'create') {
    const id = history.unique(ITEM)
    const sent = history.begin({ id, kind: 'create', queue: 'create_item', sku, messageId })
    await publishOnceOrTwice(sender, random, sent, JSON.stringify(itemOf(id, sku)))
  } else if (kind === 'adjust') {
    const id = history.unique('adjust')
    const change = random.pick([-2, -1, 1])
    const sent = history.begin({ id, kind, queue: 'stock_adjustment', sku, change, messageId })
    await publishOnceOrTwice(sender, random, sent, JSON.stringify({ sku, change, reason: id }))
  } else {
    const sent = history.begin({ id: messageId, kind: 'delete', queue: 'stock_management', sku, messageId })
    await publishOnceOrTwice(sender, random, sent, JSON.stringify({ sku }))
  }
}

/** Checks the readiness of the writers until aborted. Resolves with the number of failed checks and of all checks. */
async function checkReadiness({ testbed }: Scene, until: AbortSignal): Promise<[unready: number, all: number]> {
  let unready = 0
  let all = 0
  while (!until.aborted) {
    const reasons = await Promise.all(WRITERS.map((name) => testbed.stack.service(name).notReady()))
    unready += reasons.filter((why) => why !== undefined).length
    all += reasons.length
    await pause(CHECKED_EVERY_MS)
  }
  return [unready, all]
}

export const statementFaults: readonly Fault[] = [
  killStorm,
  endRefused('ROLLBACK', 3),
  endRefused('COMMIT', 3),
  fewSkus,
]
