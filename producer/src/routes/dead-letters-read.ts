// The routes that read /dead_letters: counts by reason, a page, a single dead letter, and all dead letters as JSON lines.
import { once } from 'node:events'
import {
  countReason,
  type DeadLetter,
  type DeadLetterDesk,
  deadLetterSources,
  jsonLinePieces,
  printable,
} from '@ims/messaging'
import type { RequestHandler, Response } from 'express'
import { z } from 'zod'
import type { Dependencies } from '../dependencies.ts'
import { sendJson } from '../http/answer.ts'
import { cutOff, Problem } from '../http/problem.ts'
import type { TakeWait } from '../http/requests-in-flight.ts'
import { nextPageUrl } from '../listing/listing-query.ts'
import { troubleAsProblem } from './dead-letters-trouble.ts'

export interface RouteParts extends Pick<Dependencies, 'config' | 'service'> {
  readonly desk: DeadLetterDesk
  readonly takeWait: TakeWait
}

/** Timeout of a response that is not a stream. */
export const ANSWER_WITHIN_MS = 20_000
const PAGE_MAX = 1_000
const PAGE = 100
const SHORT_BODY_BYTES = 200
/** Maximum size of a body in the response for a single dead letter. `export` returns bodies of any size. */
const ONE_BODY_MAX_BYTES = 1_048_576
/** Maximum number of dead letters with the same id in a response. */
const SAME_ID_MAX = 20

/** Counts the dead letters of each queue by reason. Reads every dead letter, which takes seconds for 100,000. */
export function summaryRoute({ desk }: RouteParts): RequestHandler {
  return async (_, response) => {
    const signal = AbortSignal.timeout(ANSWER_WITHIN_MS)
    const queues: object[] = []
    for (const queue of deadLetterSources) queues.push(await summary(desk, queue, signal))
    sendJson(response, 200, { queues })
  }
}

async function summary(desk: DeadLetterDesk, queue: string, signal: AbortSignal): Promise<object> {
  const reasons = new Map<string, number>()
  const note = ({ reason }: DeadLetter) => {
    countReason(reasons, reason)
    return true
  }
  try {
    const { total, seen } = await desk.browse(queue, note, { bodyMaxBytes: 0, signal })
    return { queue, total, counted: seen, reasons: Object.fromEntries(reasons) }
  } catch (error) {
    const problem = troubleAsProblem(error)
    if (problem instanceof Problem && problem.status === 404) return { queue, total: 0, counted: 0, reasons: {} }
    throw error
  }
}

const whole = z
  .string()
  .regex(/^\d{1,9}$/, 'must be a whole number')
  .transform(Number)
const paging = z.object({
  limit: whole.pipe(z.int().min(1).max(PAGE_MAX)).default(PAGE),
  after: whole.default(0),
})

/** Lists the dead letters of a queue, oldest first. Skips the first `after` of them, and returns at most `limit`. */
export function listRoute({ desk }: RouteParts): RequestHandler {
  return async (request, response) => {
    const { data, error } = paging.safeParse(request.query)
    if (error) {
      const errors = error.issues.map(({ path, message }) => ({ path: path.join('.'), message }))
      throw new Problem(400, 'invalid-query', `Not valid: ${errors.map(({ path }) => path).join(', ')}.`, { errors })
    }
    const letters: Omit<DeadLetter, 'headers' | 'properties'>[] = []
    let position = 0
    const signal = AbortSignal.timeout(ANSWER_WITHIN_MS)
    const take = ({ headers, properties, ...short }: DeadLetter) => {
      position += 1
      if (position > data.after) letters.push(short)
      return letters.length < data.limit
    }
    const { total } = await desk.browse(queueOf(request), take, { bodyMaxBytes: SHORT_BODY_BYTES, signal })
    if (signal.aborted) throw tooLong()
    const end = data.after + letters.length
    const next =
      letters.length > 0 && end < total
        ? { Link: `<${nextPageUrl(request.baseUrl + request.url, end)}>; rel="next"` }
        : {}
    sendJson(response, 200, { queue: queueOf(request), total, letters }, next)
  }
}

/** All dead letters with this id. There is only one, unless a consumer crashed just after it had dead-lettered the message. */
export function oneRoute({ desk }: RouteParts): RequestHandler {
  return async (request, response) => {
    const { id } = parameters.parse(request.params)
    const letters: DeadLetter[] = []
    const signal = AbortSignal.timeout(ANSWER_WITHIN_MS)
    const take = (letter: DeadLetter) => {
      // DELETE and redrive also accept the id as a terminal shows it.
      if (letter.id === id || printable(letter.id) === id) letters.push(letter)
      return letters.length < SAME_ID_MAX
    }
    await desk.browse(queueOf(request), take, { bodyMaxBytes: ONE_BODY_MAX_BYTES, signal })
    if (signal.aborted && letters.length === 0) throw tooLong()
    if (letters.length === 0) throw unknown()
    sendJson(response, 200, { letters })
  }
}

/** All dead letters in full, as application/x-ndjson. An incomplete response is aborted, so that it never looks complete. */
export function exportRoute({ desk, service }: RouteParts): RequestHandler {
  return async (request, response) => {
    const left = new AbortController()
    response.once('close', () => left.abort())
    const signal = AbortSignal.any([left.signal, service.stopping])
    const write = async (letter: DeadLetter, _: number, content: Buffer) => {
      begin(response)
      for (const piece of jsonLinePieces(letter, content)) if (!response.write(piece)) await drained(response, signal)
      return !signal.aborted
    }
    const { total, seen } = await desk.browse(queueOf(request), write, { bodyMaxBytes: 0, signal })
    if (seen < total) return cutOff(response)
    begin(response)
    response.end()
  }
}

function begin(response: Response): void {
  if (!response.headersSent) response.writeHead(200, { 'Content-Type': 'application/x-ndjson' })
}

async function drained(response: Response, signal: AbortSignal): Promise<void> {
  await once(response, 'drain', { signal }).catch(() => {})
}

const parameters = z.object({ queue: z.string(), id: z.string().default('') })
export const queueOf = ({ params }: { params: unknown }): string => parameters.parse(params).queue
export const idOf = ({ params }: { params: unknown }): string => parameters.parse(params).id

export const unknown = (): Problem =>
  new Problem(404, 'unknown-dead-letter', 'There is no dead letter with this id in this queue.')
const tooLong = (): Problem =>
  new Problem(
    503,
    'dead-letters-unavailable',
    'There are too many dead letters to read in time: use export, or redrive some first.',
  )
