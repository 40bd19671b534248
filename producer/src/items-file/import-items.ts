// Imports a file of items: reads rows as fast as the API accepts them, and counts their outcomes.
import type { Program, Sections } from '@ims/runtime'
import { openApi } from './api-client.ts'
import type { ImportRequest } from './arguments.ts'
import { csvRows } from './csv-rows.ts'
import { CODE, Stopped, stoppedBy } from './exit-codes.ts'
import { jsonRows } from './json-rows.ts'
import { ndjsonRows } from './ndjson-rows.ts'
import { Patience } from './patience.ts'
import { showProgress } from './progress.ts'
import { openRejectedFile, type RejectedFile, rejectedPath } from './rejected-file.ts'
import { itemOf, keyOf, type Row, type RowReader } from './row.ts'
import { type Outcome, type Sending, sendItem } from './send-item.ts'
import type { ApiSettings } from './settings.ts'
import { openSource } from './source.ts'
import { Tally } from './tally.ts'
import { utf8Of } from './text-of.ts'

/** After Ctrl-C, the import waits this long for responses, so that fewer outcomes are unknown. */
const LAST_ANSWERS_WITHIN_MS = 10_000

type Terminal = Pick<Program<Sections>, 'input' | 'terminal' | 'out' | 'err' | 'stopping'>

/**
 * Resolves with the exit code, after the summary.
 * @throws Stopped when the file cannot be read
 */
export async function importItems(request: ImportRequest, settings: ApiSettings, terminal: Terminal): Promise<number> {
  const { input, out, err, stopping } = terminal
  const source = await openSource(request.file, input)
  const tally = new Tally()
  const endProgress = showProgress({
    tally,
    isDryRun: request.isDryRun,
    bytes: source.bytes,
    terminal: terminal.terminal,
    err,
  })
  let rejected: RejectedFile | undefined
  let trouble: Stopped | undefined
  const interrupted = () => source.close()
  stopping.addEventListener('abort', interrupted)
  try {
    const { hasMark, chunks } = await utf8Of(source.chunks, request.encoding)
    const reader = await readerOf(request, chunks, err)
    const wanted = request.rejected ?? rejectedPath(request.file)
    rejected = await openRejectedFile({ wanted, hasMark, out }, reader)
    await importRows(reader, { request, settings, stopping, tally, rejected })
  } catch (error) {
    // Ctrl-C closes the source, which then ends with an error.
    if (!stopping.aborted) trouble = stoppedBy(error)
  } finally {
    stopping.removeEventListener('abort', interrupted)
    source.close()
    endProgress()
    await rejected?.close()
  }
  if (trouble !== undefined) err(`✗ ${trouble.message}`)
  if (trouble === undefined || tally.rows > 0) err(tally.summary(request.isDryRun))
  if (rejected?.path !== undefined) err(`rejected rows: ${rejected.path}`)
  if (trouble !== undefined) return trouble.code
  if (stopping.aborted) err('interrupted: import the same file again to continue')
  return stopping.aborted ? CODE.interrupted : codeOf(tally)
}

function readerOf(
  { format }: ImportRequest,
  chunks: AsyncIterable<Buffer>,
  err: (line: string) => void,
): Promise<RowReader> | RowReader {
  if (format === 'csv') return csvRows(chunks, err)
  return format === 'json' ? jsonRows(chunks) : ndjsonRows(chunks)
}

function codeOf({ counts: { rejected, unknown } }: Tally): number {
  if (unknown > 0) return CODE.unknown
  return rejected > 0 ? CODE.rejected : CODE.done
}

interface Parts {
  readonly request: ImportRequest
  readonly settings: ApiSettings
  readonly stopping: AbortSignal
  readonly tally: Tally
  readonly rejected: RejectedFile
}

/** Imports the rows in parallel lanes. Each lane handles one row after the other, so at most `concurrency` rows are in memory. */
async function importRows(reader: RowReader, { request, settings, stopping, tally, rejected }: Parts): Promise<void> {
  const ending = new AbortController()
  const leaving = new AbortController()
  const api = openApi(settings, request.concurrency)
  const patience = new Patience(request.giveUpAfterMs)
  const sending: Sending = { api, patience, run: request.run, stopping: ending.signal, leaving: leaving.signal }
  let lastAnswers: NodeJS.Timeout | undefined
  const stop = () => {
    ending.abort()
    lastAnswers ??= setTimeout(() => leaving.abort(), LAST_ANSWERS_WITHIN_MS)
  }
  stopping.addEventListener('abort', stop)
  if (stopping.aborted) stop()
  const rows = reader.rows[Symbol.asyncIterator]()
  const sendOnce = oneAtATime((item) => sendItem(item, sending), request.run)
  let failure: unknown
  const lane = async () => {
    while (!ending.signal.aborted) {
      const { done, value } = await rows.next()
      if (done) return
      await handle(value)
      if (patience.isOver && tally.counts.unknown > 0)
        throw new Stopped(CODE.unavailable, `gave up: ${patience.lastTrouble}`)
    }
  }
  const handle = async (row: Row) => {
    const parsed = itemOf(row)
    if ('item' in parsed && request.isDryRun) return tally.count('valid')
    const outcome: Outcome = 'item' in parsed ? await orUnknown(sendOnce(parsed.item)) : { kind: 'rejected', ...parsed }
    if (outcome.kind === 'rejected') await rejected.add(row, outcome.reason)
    tally.count(outcome.kind)
  }
  /** Counts the row as unknown if sending it failed, because it may have been applied. */
  const orUnknown = async (sent: Promise<Outcome>): Promise<Outcome> => {
    try {
      return await sent
    } catch (error) {
      tally.count('unknown')
      throw error
    }
  }
  try {
    const lanes = Array.from({ length: request.isDryRun ? 1 : request.concurrency }, () =>
      lane().catch((error: unknown) => {
        failure ??= error
        stop()
      }),
    )
    await Promise.all(lanes)
  } finally {
    clearTimeout(lastAnswers)
    stopping.removeEventListener('abort', stop)
    await api.close()
  }
  if (failure !== undefined) throw failure
}

type Send = (item: Parameters<typeof sendItem>[0]) => Promise<Outcome>

/** Sends equal rows one after the other. The API would reject the second while the first is in flight. */
function oneAtATime(send: Send, run: string): Send {
  const inFlight = new Map<string, Promise<unknown>>()
  return async (item) => {
    const key = keyOf(item, run)
    for (let earlier = inFlight.get(key); earlier !== undefined; earlier = inFlight.get(key)) await earlier
    const sent = send(item)
    const settled = sent.then(
      () => {},
      () => {},
    )
    inFlight.set(key, settled)
    try {
      return await sent
    } finally {
      inFlight.delete(key)
    }
  }
}
