// The report of a small recorded run, opened from a file in Chromium.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import type { Browser } from 'playwright-core'
import { History } from '../../faults/history.ts'
import { type Found, keyOf } from '../../faults/ledger.ts'
import { page } from '../../faults/page.ts'
import { type About, recordOf } from '../../faults/record.ts'
import { rowLine } from '../../faults/report.ts'
import { type Run, Unfinished } from '../../faults/run.ts'
import { accessibilityFaults, findChromium, openChromium, openTab } from '../console/browser.ts'

const HOSTILE = '</script><img src="http://example.com/x" onerror="alert(1)"><!--'
/** The origin of a file URL. */
const FROM_FILE = 'null'

const about: About = {
  seed: 7,
  commit: 'abc1234',
  servers: 'RabbitMQ 4.1.0, MySQL 8.4.0',
  command: 'npm run faults -- --seed 7 --only 2',
  summary: 'one lost',
  shrunk: 'the smallest of 3 runs that still failed',
}

/** A run with three messages, two faults and two violations. */
function recordedRun(): Run {
  const history = new History()
  const created = history.begin({ id: 'item-1', kind: 'create', queue: 'create_item', sku: 'S-1' })
  created.messageId = 'm-1'
  created.calls.push(
    { fromMs: 1_000, untilMs: 1_100, answered: '503 not-accepted' },
    { fromMs: 1_400, untilMs: 1_500, answered: '202' },
  )
  const lost = history.begin({ id: 'item-2', kind: 'create', queue: 'create_item', sku: 'S-1' })
  lost.calls.push({ fromMs: 5_200, untilMs: 5_900, answered: '202' })
  const hostile = history.begin({ id: HOSTILE, kind: 'bad message', queue: 'create_item', sku: HOSTILE })
  hostile.calls.push({ fromMs: 9_000, untilMs: 9_050, answered: HOSTILE })
  const found: Found = {
    inserts: new Map([['item-1', 1]]),
    deletes: new Map(),
    inbox: new Map(),
    decisions: new Map([
      [
        keyOf('create_item', 'm-1'),
        [{ epochMs: Number(history.startedAt) + 1_700, outcome: 'created', error: null, redrives: 0 }],
      ],
    ]),
    logged: new Map(),
    deadLetters: [{ queue: 'create_item', messageId: HOSTILE, body: HOSTILE, reason: HOSTILE, error: HOSTILE }],
    table: new Map([['S-1', 'item-1']]),
    items: [],
    movements: new Map(),
    left: [],
    unhealthy: [],
  }
  const fault = (number: number, kind: string, group: 'broker' | 'services', fromMs: number, tookEffect = true) => ({
    number,
    kind,
    group,
    note: number === 2 ? HOSTILE : '',
    tookEffect,
    fromMs,
    untilMs: fromMs + 1_000,
  })
  return {
    history,
    rounds: [
      { atMs: 500, endedMs: 3_000, recoveryMs: 700, faults: [fault(1, 'service kill -9', 'services', 500)] },
      { atMs: 5_000, endedMs: 8_000, recoveryMs: 1_500, faults: [fault(2, 'broker kill -9', 'broker', 5_000, false)] },
    ],
    found,
    judgement: {
      violations: [
        { what: 'lost', text: 'accepted, but neither applied nor dead-lettered', attempt: lost },
        { what: 'unhealthy', text: HOSTILE, attempt: undefined },
      ],
      attempted: 3_000,
      accepted: 2,
      applied: 1,
      reported: 0,
      deadLettered: 0,
      indeterminate: 1,
      sentTwice: 0,
      letters: 1,
      deadLetteredAgain: 0,
    },
    repeated: 0,
    peakBytes: new Map(),
    lines: [
      {
        time: new Date(Number(history.startedAt) + 1_650).toISOString(),
        service: 'consumer_two',
        level: 'info',
        messageId: 'm-1',
        message: HOSTILE,
      },
    ],
  }
}

describe('the row of a run for docs/faults.md', () => {
  it('has the seed, the commit and the figures of its table', () => {
    expect(rowLine(recordedRun(), about)).toBe(
      '| 7 | abc1234 | RabbitMQ 4.1.0, MySQL 8.4.0 | 3,000 | 2 | 1 | 1 | 1 | 0 | 1 | 1.5 s | 1.5 s | 1.5 s |',
    )
  })
})

const found = findChromium()
if (typeof found === 'string') process.stderr.write(`not run: the report in a browser, because ${found}\n`)

;(typeof found === 'string' ? describe.skip : describe)('the report', () => {
  let browser: Browser
  let directory: string
  const close: (() => Promise<void>)[] = []
  beforeAll(async () => {
    browser = await openChromium(found as Exclude<typeof found, string>)
    directory = mkdtempSync(join(tmpdir(), 'fault-report-'))
  })
  afterAll(async () => {
    for (const each of close) await each()
    await browser.close()
    rmSync(directory, { recursive: true })
  })

  const open = async (run: Run | Unfinished, scheme: 'light' | 'dark' = 'light') => {
    const file = join(directory, 'report.html')
    writeFileSync(file, page(recordOf(run, about)))
    const tab = await openTab(browser, FROM_FILE, { scheme })
    close.push(tab.close)
    await tab.page.goto(pathToFileURL(file).href)
    await tab.page.locator('#time-line svg').waitFor()
    return tab
  }
  const history = '#history tbody tr'

  it('shows the verdict, how to repeat the run, and a time line of its faults and calls', async () => {
    const { page: tab, faults } = await open(recordedRun())
    expect(await tab.locator('#verdict').textContent()).toBe('2 violations')
    expect(await tab.locator('#facts code').textContent()).toBe(about.command)
    expect(await tab.locator('#facts').textContent()).toContain(about.shrunk)
    const bars = tab.locator('[data-fault]')
    expect(await bars.count()).toBe(2)
    expect(await bars.first().textContent()).toMatch(/^2: broker kill -9 .* \[no effect\], 5.0 s to 6.0 s$/)
    const boxes = await Promise.all([0, 1].map(async (index) => await bars.nth(index).boundingBox()))
    // The run lasts 9.05 s, and the other fault begins 4.5 s earlier.
    const width = (await tab.locator('#time-line').boundingBox())?.width ?? 0
    expect((boxes[0]?.x ?? 0) - (boxes[1]?.x ?? 0)).toBeCloseTo((4_500 / 9_050) * (width - 130), -1)
    expect(await tab.locator('.call').count()).toBe(4)
    expect(await tab.locator('#time-line .recovery').count()).toBe(2)
    expect(await tab.locator('#time-line .accepted:not(.call)').count()).toBe(2)
    expect(await tab.locator('#rounds tr').count()).toBe(2)
    expect(faults).toEqual([])
  })

  it('shows the history of a clicked message, with links to other messages with its sku', async () => {
    const { page: tab, faults } = await open(recordedRun())
    await tab.locator('[data-message="0"]').first().click()
    const rows = await tab.locator(history).allInnerTexts()
    expect(rows.map((row) => row.replace('\t', ' '))).toEqual([
      '0.500 s fault begins: 1: service kill -9',
      '1.000 s sent; after 0.100 s: 503 not-accepted',
      '1.400 s sent; after 0.100 s: 202',
      '1.500 s fault repaired: service kill -9',
      `1.650 s consumer_two logs (info): ${HOSTILE}`,
      '1.700 s the inbox records: created',
      'at the end inserted once',
      'at the end the item with sku S-1 is item-1',
    ])
    await tab.locator('#history').getByRole('button', { name: 'item-2' }).click()
    await tab.locator('#history h2', { hasText: 'Message item-2' }).waitFor()
    expect(faults).toEqual([])
  })

  it('shows the message and the time of a clicked violation', async () => {
    const { page: tab } = await open(recordedRun())
    await tab.getByRole('button', { name: /^lost: accepted/ }).click()
    await tab.locator('#history .bad', { hasText: 'lost: accepted' }).waitFor()
    expect(await tab.locator('#shown').textContent()).toBe('3.2 s to 7.9 s')
    expect(await tab.locator('[data-fault]').count()).toBe(1)
    await tab.getByRole('button', { name: 'Whole run' }).click()
    expect(await tab.locator('[data-fault]').count()).toBe(2)
  })

  it('finds messages by a word and by a filter', async () => {
    const { page: tab } = await open(recordedRun())
    const names = tab.locator('#messages li')
    expect(await names.count()).toBe(3)
    await tab.locator('#word').fill('M-1')
    expect(await names.allTextContents()).toEqual(['1.000 s create S-1 item-1: 202'])
    await tab.locator('#word').fill('')
    await tab.locator('#filter').selectOption('with a violation')
    expect(await names.allTextContents()).toEqual(['5.200 s create S-1 item-2: 202'])
  })

  it('shows hostile text as plain text, and sends no request', async () => {
    const { page: tab, faults } = await open(recordedRun())
    const requests: string[] = []
    tab.on('request', (request) => requests.push(request.url()))
    await tab.locator('[data-message="2"]').first().click()
    await tab.locator('#history h2', { hasText: HOSTILE }).waitFor()
    await tab.locator('#history', { hasText: `a dead letter of create_item: ${HOSTILE}, ${HOSTILE}` }).waitFor()
    await tab.locator('#violations', { hasText: HOSTILE }).waitFor()
    expect(await tab.locator('img').count()).toBe(0)
    expect(await tab.locator('script').count()).toBe(2)
    expect(requests).toEqual([])
    expect(faults).toEqual([])
  })

  it('states that nothing was checked if the run was not finished', async () => {
    const { page: tab, faults } = await open(new Unfinished(new Error('no item was created'), recordedRun()))
    await tab.locator('#violations', { hasText: 'unhealthy: nothing was checked: no item was created' }).waitFor()
    await tab.locator('[data-message="0"]').first().click()
    await tab.locator(history).first().waitFor()
    expect(await tab.locator('#history', { hasText: 'at the end' }).count()).toBe(0)
    expect(faults).toEqual([])
  })

  it.each(['light', 'dark'] as const)('has no accessibility violation: %s scheme', async (scheme) => {
    const { page: tab } = await open(recordedRun(), scheme)
    await tab.locator('[data-message="0"]').first().click()
    expect(await accessibilityFaults(tab)).toEqual([])
  })
})
