// Exports all items, page by page, so that a failed page can be requested again.
import { type ListedItem, listedItem } from '@ims/messaging'
import type { Program, Sections } from '@ims/runtime'
import { stringify } from 'csv-stringify/sync'
import { z } from 'zod'
import { openApi } from './api-client.ts'
import type { ExportRequest, Format } from './arguments.ts'
import { CODE, Stopped, stoppedBy } from './exit-codes.ts'
import { type Asking, finalAnswer, jsonIn } from './final-answer.ts'
import { guarded } from './formula.ts'
import { Patience } from './patience.ts'
import { COLUMNS } from './row.ts'
import type { ApiSettings } from './settings.ts'
import { writeWhole } from './whole-file.ts'

const PAGE_ITEMS = 1_000
const LINE_EVERY_MS = 5_000

const page = z.array(listedItem)

/**
 * Resolves with the exit code.
 * @throws Stopped
 */
export async function exportItems(
  { format, output, isOverwriting, giveUpAfterMs }: ExportRequest,
  settings: ApiSettings,
  { out, err, stopping }: Pick<Program<Sections>, 'out' | 'err' | 'stopping'>,
): Promise<number> {
  const api = openApi(settings, 1)
  const asking: Asking = { api, patience: new Patience(giveUpAfterMs), stopping, leaving: stopping }
  let items = 0
  const progress = setInterval(() => err(`${items.toLocaleString('en')} items`), LINE_EVERY_MS)
  const work = async (write: (text: string) => Promise<void>) => {
    const form = FORMS[format]
    await write(form.opening)
    for await (const each of pages(asking)) {
      await write(form.page(each, items === 0))
      items += each.length
    }
    await write(form.closing)
  }
  try {
    if (output === undefined) await work(out)
    else await writeWhole(output, isOverwriting, work)
  } catch (error) {
    if (!stopping.aborted) throw stoppedBy(error)
    err(output === undefined ? 'interrupted: the output is not complete' : 'interrupted: nothing was written')
    return CODE.interrupted
  } finally {
    clearInterval(progress)
    await api.close()
  }
  err(`${items.toLocaleString('en')} items exported`)
  return CODE.done
}

/** Yields all pages. Throws if one cannot be read, so that a part never looks like the whole list. */
async function* pages(asking: Asking): AsyncGenerator<readonly ListedItem[]> {
  let after = 0
  for (;;) {
    const answer = await finalAnswer(
      { method: 'GET', path: `/order_processing?limit=${PAGE_ITEMS}&after=${after}` },
      asking,
    )
    if (answer === undefined)
      throw new Stopped(CODE.unavailable, `gave up before the list was complete: ${asking.patience.lastTrouble}`)
    const items = answer.status === 200 ? page.safeParse(jsonIn(answer)).data : undefined
    if (items === undefined)
      throw new Stopped(
        CODE.unavailable,
        `/order_processing responded with status ${answer.status} and without a list: is API_URL the URL of the API?`,
      )
    if (asking.stopping.aborted) throw new Stopped(CODE.interrupted, 'interrupted')
    yield items
    const next = nextIn(answer.headers.link)
    if (next === undefined) return
    if (next <= after)
      throw new Stopped(
        CODE.unavailable,
        `the page after ${after} links to the page after ${next}, which is not larger`,
      )
    after = next
  }
}

/** The id after which the next page starts, from the header `Link`. Only the id is used: behind a proxy, the URL may lack a path prefix. */
function nextIn(link: string | string[] | undefined): number | undefined {
  const [, text] = /<[^>]*[?&]after=(\d{1,16})[^>]*>; *rel="next"/.exec(String(link ?? '')) ?? []
  return text === undefined ? undefined : Number(text)
}

interface Form {
  readonly opening: string
  page(items: readonly ListedItem[], isFirst: boolean): string
  readonly closing: string
}

const csv = (rows: readonly (readonly unknown[])[]): string => stringify([...rows], { quoted_match: /[\r\n]/ })
const cell = (value: string | number | null): string | number | null =>
  typeof value === 'string' ? guarded(value) : value
const json = (items: readonly ListedItem[], separator: string): string =>
  items.map((item) => JSON.stringify(item)).join(separator)

const FORMS: Readonly<Record<Format, Form>> = {
  csv: {
    opening: csv([COLUMNS]),
    page: (items) => csv(items.map((item) => COLUMNS.map((column) => cell(item[column])))),
    closing: '',
  },
  ndjson: { opening: '', page: (items) => items.map((item) => `${JSON.stringify(item)}\n`).join(''), closing: '' },
  json: {
    opening: '[',
    page: (items, isFirst) => (items.length === 0 ? '' : `${isFirst ? '\n' : ',\n'}${json(items, ',\n')}`),
    closing: '\n]\n',
  },
}
