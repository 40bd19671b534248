// Commands per second, from two answers of GET /queues: accepted by one producer, and gone from the queues.

const KEPT_S = 300
/** A process that has not answered for this long has probably ended. */
const SILENT_AFTER_S = 30
/** No line is drawn over a longer time without answers, for example of a hidden tab. */
const GAP_S = 10

/**
 * Returns a function that takes each answer and returns the points so far, oldest first. Behind one address there can be
 * several producers, and each counts only what it accepts: one of them is followed, as long as it answers.
 */
export function rateMeter() {
  let last
  let points = []
  let others = false
  return ({ queues, producer, measuredAt }) => {
    const commands = queues.filter(({ accepted }) => accepted !== undefined)
    const at = Date.parse(measuredAt) / 1_000
    const now = {
      at,
      producer,
      accepted: sum(commands, 'accepted'),
      waiting: sum(commands, 'waiting'),
    }
    const isSame = last?.producer === producer
    if (last !== undefined && !isSame && at - last.at < SILENT_AFTER_S) others = true
    else if (isSame && at <= last.at) return { points, producer, others }
    else {
      const seconds = at - last?.at
      if (isSame) {
        const accepted = now.accepted - last.accepted
        // An estimate: commands of other programs wait too, and messages can return to a queue.
        const left = Math.max(0, accepted - (now.waiting - last.waiting))
        if (seconds > GAP_S) points = [...points, { at: last.at + 1, accepted: null, left: null }]
        points = [...points, { at, accepted: accepted / seconds, left: left / seconds }]
      } else if (last !== undefined) points = [...points, { at, accepted: null, left: null }]
      points = points.filter((point) => point.at >= at - KEPT_S)
      last = now
    }
    return { points, producer: last.producer, others }
  }
}

const sum = (queues, member) => queues.reduce((total, queue) => total + queue[member], 0)
