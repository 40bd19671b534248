// Redrives dead letters while the broker blocks every publisher. Afterwards there must not be more dead letters than before,
// and no message may be applied twice.
import { setTimeout as pause } from 'node:timers/promises'
import { start } from 'testkit'
import { ROOT } from '../../test/stack.ts'
import { create, ITEM, itemOf, publish, remove } from '../workload/requests.ts'
import { becomesTrue, messagesIn } from './broker.ts'
import type { Fault, Scene } from './fault.ts'

const QUEUE = 'create_item'
const WAIT_S = 5
const SKUS = 20
const REFUSED_FOR_EACH = 3
const DRAINED_WITHIN_MS = 60_000
/** The longest alarm, which is longer than the confirm timeout of the command. */
const BLOCKED_MAX_MS = 15_000
const ENDS_WITHIN_MS = 60_000
const TRIES_MAX = 5
const ALARM = ['set_vm_memory_high_watermark', '0.00001']
const NO_ALARM = ['set_vm_memory_high_watermark', '0.4']

/** Runs `dead-letters redrive create_item --all`. Resolves with its exit code, or 137 if it had to be killed. */
async function redrive({ testbed }: Scene): Promise<number> {
  const { child, ended } = start({
    command: [process.execPath, 'producer/src/dead-letters.ts', 'redrive', QUEUE, '--all', '--no-wait'],
    cwd: ROOT,
    env: { PATH: process.env.PATH, ...testbed.stack.env },
    stdio: 'ignore',
  })
  const timer = setTimeout(() => child.kill('SIGKILL'), ENDS_WITHIN_MS)
  const { code } = await ended
  clearTimeout(timer)
  return code ?? 137
}

/** Resolves with the number of dead letters when the queue is empty, or with undefined if that takes too long. */
async function lettersWhenDrained(scene: Scene): Promise<number | undefined> {
  let letters: number | undefined
  const isDrained = await becomesTrue(async () => {
    const queues = await messagesIn(scene)
    letters = queues.get(`${QUEUE}.dead-letter`)
    return queues.get(QUEUE) === 0
  }, DRAINED_WITHIN_MS)
  return isDrained ? letters : undefined
}

/** Sends creates that are refused. Afterwards deletes the item of every other sku, so that a redriven create can be applied. */
async function refusals({ sender }: Scene): Promise<void> {
  const { history } = sender
  const one = async (_: unknown, index: number) => {
    const sku = history.unique('Sö')
    const first = await create(sender, sku, WAIT_S)
    if (first.reported !== 'created') return
    for (let count = 0; count < REFUSED_FOR_EACH; count += 1) {
      const id = history.unique(ITEM)
      const sent = history.begin({ id, kind: 'create', queue: QUEUE, sku, messageId: history.unique('message') })
      await publish(sender, sent, JSON.stringify(itemOf(id, sku)))
    }
    if (index % 2 === 0) await remove(sender, sku, WAIT_S)
  }
  await Promise.all(Array.from({ length: SKUS }, one))
}

const underAlarm: Fault = {
  kind: 'redrive under a memory alarm',
  group: 'moment',
  weight: 4,
  inject: async (scene) => {
    const { testbed, clients, sender, random } = scene
    const { history } = sender
    const { rabbitmq } = testbed.stack.servers
    await clients.hold()
    const before = await refusals(scene).then(() => lettersWhenDrained(scene))
    const alarm = async () => {
      await rabbitmq.ctl(...ALARM)
      return await becomesTrue(async () => {
        // The broker blocks a connection only when a message is published on it.
        void create(sender, history.unique('Sö'))
        return /block/.test((await testbed.stack.service('producer').notReady()) ?? '')
      })
    }
    const isAlarmFirst = random.fraction() < 0.7
    const isBlockedFirst = isAlarmFirst && (await alarm())
    const ended = redrive(scene)
    if (!isAlarmFirst) await pause(random.whole(300, 1_500))
    const isBlocked = isAlarmFirst ? isBlockedFirst : await alarm()
    await Promise.race([ended, pause(random.whole(500, BLOCKED_MAX_MS))])
    await rabbitmq.ctl(...NO_ALARM)
    const code = await ended
    const after = await lettersWhenDrained(scene)
    if (before === undefined || after === undefined)
      history.reportContradiction(`${QUEUE} was not drained before or after a redrive`)
    else if (after > before)
      history.reportContradiction(`a redrive under a memory alarm left ${after} dead letters of ${before}`)
    // If not all dead letters were redriven, the command tells the operator to run it again.
    let again = code
    for (let tries = 0; again !== 0 && tries < TRIES_MAX; tries += 1) again = await redrive(scene)
    if (again !== 0)
      history.reportContradiction(
        `a redrive still ended with exit code ${again} in the last of ${TRIES_MAX} attempts after the alarm`,
      )
    await lettersWhenDrained(scene)
    // After the redrives, an earlier message may have a dead letter for each refusal, so the check must not limit their number.
    history.disturbances.push({ fromMs: 0, untilMs: history.nowMs() })
    clients.resume()
    return {
      note: `${before} dead letters, exit code ${code}, ${after} afterwards`,
      lastsMs: 0,
      repair: async () => isBlocked,
    }
  },
}

export const redriveFaults: readonly Fault[] = [underAlarm]
