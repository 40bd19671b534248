// Computes rates from responses of GET /queues: commands accepted per second, and commands that left the queues per second.

const KEPT_S = 300
/** A process that has not responded for this long has probably ended. */
const SILENT_AFTER_S = 30
/** A longer time without responses becomes a gap in the plot. A hidden tab, for example, sends no requests. */
const GAP_S = 10

/**
 * Returns a function that takes each response. It returns the points so far, oldest first, their producer, and whether
 * there are other producers. Several producers can share one address, and each counts only the commands that it accepts.
 * The function follows one of them as long as it responds.
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
        // This is an estimate: other programs also send commands, and messages can return to a queue.
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
