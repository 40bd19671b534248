// Formats dead letters as lines for a terminal, with all their content escaped.
import { type DeadLetter, type Outcomes, type Progress, printable, shortened, type Worked } from '@ims/messaging'

const ERROR_MAX = 300
const RATE_EVERY_MS = 1_000
const MANY = 1_000

/** A list entry: up to three lines. */
export function shownShortly(letter: DeadLetter): string {
  const { id, reason, failedAt, by, attempts, error, bytes } = letter
  const head = [
    printable(id),
    printable(reason),
    orQuestionMark(failedAt),
    `by ${orQuestionMark(by)}`,
    `attempts ${attempts ?? '?'}`,
  ]
  return [
    head.join('  '),
    ...(error === null ? [] : [`    ${shortened(printable(error), ERROR_MAX)}`]),
    `    ${shownBody(letter)}  (${bytes} bytes)`,
    '',
  ].join('\n')
}

/** All details of a dead letter. */
export function shownWhole(letter: DeadLetter): string {
  const { queue, id, requestId, reason, error, failedAt, by, attempts, bytes, encoding, properties, headers, body } =
    letter
  const facts = {
    queue,
    id,
    'request id': requestId,
    reason,
    error,
    'failed at': failedAt,
    by,
    attempts,
    bytes,
    encoding,
  }
  const lines = (members: object) =>
    Object.entries(members).map(([name, value]) => {
      const text = typeof value === 'string' ? value : JSON.stringify(value)
      return `  ${printable(name).padEnd(16)} ${printable(value === null ? '?' : text)}`
    })
  const sections = [lines(facts), ['properties:'], lines(properties), ['headers:'], lines(headers), ['body:']]
  return `${[...sections.flat(), `  ${printable(body)}`].join('\n')}\n\n`
}

const orQuestionMark = (text: string | null): string => (text === null ? '?' : printable(text))

function shownBody({ encoding, body, shortened: isShortened }: DeadLetter): string {
  const text = encoding === 'base64' ? `base64 ${body}` : printable(body)
  return isShortened ? `${text}…` : text
}

/** The counts by reason, the most frequent first: `invalid 2 · duplicate-sku 1`. */
export function shownReasons(reasons: ReadonlyMap<string, number>): string {
  const sorted = [...reasons].filter(([, count]) => count > 0).sort(([, one], [, other]) => other - one)
  return sorted.map(([reason, count]) => `${shortened(printable(reason), 60)} ${count}`).join(' · ')
}

/** One line with the result of a redrive or discard, or of a dry run. */
export function shownOutcome(queue: string, done: string, { total, done: count, left, reasons }: Worked): string {
  const which = count === 0 ? '' : ` (${shownReasons(reasons)})`
  return `${queue}: ${done} ${count} of ${total}${which}, ${left} left\n`
}

/** One line with the outcomes of the redriven messages. */
export function shownOutcomes(queue: string, { applied, refused, unknown }: Outcomes): string {
  const again = [...refused.values()].reduce((sum, count) => sum + count, 0)
  const parts = [
    `${applied} applied`,
    ...(again === 0 ? [] : [`${again} dead-lettered again (${shownReasons(refused)})`]),
    ...(unknown === 0 ? [] : [`${unknown} unknown`]),
  ]
  return `${queue}: outcomes of ${applied + again + unknown} redriven: ${parts.join(', ')}\n`
}

/** Returns a function that reports progress and rate every second, if there are at least `MANY` dead letters. */
export function progressLines(queue: string, err: (line: string) => void): (progress: Progress) => void {
  const sinceMs = performance.now()
  let reportedAtMs = sinceMs
  return ({ total, seen, done }) => {
    const nowMs = performance.now()
    if (total < MANY || nowMs - reportedAtMs < RATE_EVERY_MS) return
    reportedAtMs = nowMs
    err(`${queue}: ${seen} of ${total} read, ${done} done, ${Math.round((seen * 1_000) / (nowMs - sinceMs))}/s`)
  }
}
