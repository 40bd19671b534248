// Follows a new user in a real browser, with the commands of the README: start, import, follow a message, break MySQL, heal it.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import type { Browser } from 'playwright-core'
import { eventually, hasServerPrograms, ownSuite } from 'testkit'
import { ROOT } from '../stack.ts'
import { findChromium, openChromium, openTab } from './browser.ts'

const ROWS = 10_000
const STORED = ROWS - 3
const WAIT_MS = 120_000
const numbers = new Intl.NumberFormat('en-GB')

/** A CSV file with three bad rows. The importer rejects two of them, and only the suite can refuse the third. */
function csvOfItems(): string {
  const lines = Array.from({ length: ROWS }, (_, n) => `NEW${String(n).padStart(6, '0')},Tea number ${n},tea,2.50,40`)
  lines[2_000] = 'NEW002000,Tea number 2000,tea,cheap,40'
  lines[5_000] = 'NEW005000,,tea,2.50,40'
  lines[9_000] = 'NEW000001,The sku of another,tea,2.50,40'
  return ['sku,name,label,price,quantity', ...lines, ''].join('\n')
}

const found = findChromium()
const why = typeof found === 'string' ? found : hasServerPrograms() ? undefined : 'RabbitMQ and MySQL are not installed'

if (typeof found === 'string' || why !== undefined)
  describe.skip(`a new user, skipped because ${why}`, () => tests({ path: '' }))
else describe('a new user', () => tests(found))

function tests(program: { readonly path: string }): void {
  const root = join(tmpdir(), `ims-story-${process.pid}`)
  // Created in a hook. When all tests are skipped, no hook runs, so `afterAll` would not delete a directory created here.
  beforeAll(() => void mkdirSync(root, { mode: 0o700 }))
  let environment: NodeJS.ProcessEnv = {}
  let http = ''
  let browser: Browser

  /** Runs a command in a process group of its own, so that Ctrl-C reaches all its child processes. */
  function command(line: string): {
    child: ChildProcess
    output: () => string
    ended: Promise<{ code: number | null; output: string }>
  } {
    const child = spawn('bash', ['-c', line], { cwd: ROOT, env: environment, detached: true })
    let output = ''
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
    const ended = new Promise<{ code: number | null; output: string }>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code) => resolve({ code, output }))
    })
    return { child, output: () => output, ended }
  }
  const ctrlC = ({ pid = 0 }: ChildProcess) => process.kill(-pid, 'SIGINT')

  beforeAll(async () => {
    environment = { ...(await ownSuite(join(root, 'up'))), TMPDIR: root }
    http = `http://127.0.0.1:${environment.PORT}`
    browser = await openChromium(program)
  })
  afterAll(async () => {
    await browser?.close()
    await command('npm run down -- --volumes').ended
    rmSync(root, { recursive: true, force: true })
  })

  it('imports 10,000 rows, watches them arrive, finds the bad ones, follows a message through an outage, and loses nothing', async () => {
    const up = await command('npm run up -- --detach').ended
    expect(up).toMatchObject({ code: 0, output: expect.stringContaining('a browser shows the console') })

    const { page, faults, close } = await openTab(browser, http)
    page.setDefaultTimeout(WAIT_MS)
    await page.goto(`${http}/`)
    await page.getByText('There are no items yet.').waitFor()

    // Watch an import arrive.
    const file = join(root, 'items.csv')
    writeFileSync(file, csvOfItems())
    const count = page.locator('[data-test=count]')
    const shown = async () => Number((await count.textContent())?.replace(/\D/g, ''))
    const importing = command(`npm run --silent import -- ${file}`)
    await page.locator('table.items tbody tr', { hasText: 'NEW000' }).first().waitFor()
    const all = page.getByRole('button', { name: 'Load all' })
    await all.click()
    const seen: number[] = []
    const untilMs = Date.now() + WAIT_MS
    for (let last = 0; last < STORED && Date.now() < untilMs; last = await shown()) {
      if (last > (seen.at(-1) ?? 0)) seen.push(last)
      await page.waitForTimeout(500)
    }
    // At least one intermediate count was shown. Their number depends on the speed of the machine.
    expect(seen.length).toBeGreaterThan(0)
    await page.getByText(`${numbers.format(STORED)} items`).waitFor()
    const imported = await importing.ended
    expect(imported.output).toContain('10,000 rows: 9,997 created, 0 created before, 3 rejected, 0 unknown')
    expect(imported.code).toBe(1)

    // Read the rejected rows and the reasons.
    const rejected = readFileSync(join(root, 'items.rejected.csv'), 'utf8').trim().split('\n').slice(1)
    expect(rejected).toHaveLength(3)
    const reasons = rejected.map((line) => line.split(',').slice(5).join(',')).sort()
    expect(reasons).toEqual([
      expect.stringMatching(/^2002,.*price: must be a number/),
      expect.stringMatching(/^5002,.*name: must not be empty/),
      expect.stringMatching(/^9002,.*exists already/),
    ])
    // A refusal that was reported to its sender leaves no dead letter.
    await page.goto(`${http}/#health`)
    await page.locator('tbody tr', { hasText: /^create_item/ }).waitFor()
    expect((await page.locator('tbody tr', { hasText: /^create_item/ }).innerText()).split(/\s+/).at(-1)).toBe('0')

    // Break MySQL.
    await page.goto(`${http}/#items`)
    await page.locator('#search').fill('NEW000007')
    const row = page.locator('table.items tbody tr', { hasText: 'NEW000007' })
    await row.waitFor()
    const breaking = command('npm run --silent break -- mysql 5m')
    await eventually(() => expect(breaking.output()).toContain('mysql does not respond'), WAIT_MS)
    await page.getByRole('button', { name: 'Less of NEW000007' }).click()
    await page.locator('#amount').fill('3')
    await page.keyboard.press('Enter')
    const notice = page.locator('.notices .notice', { hasText: 'NEW000007' })
    await notice.getByText('Its outcome is not known yet').waitFor()
    await page.locator('.banner', { hasText: 'MySQL is down' }).waitFor()
    await page.goto(`${http}/#health`)
    await page
      .locator('tbody tr', { hasText: /^stock_adjustment/ })
      .getByRole('cell', { name: '1', exact: true })
      .waitFor()

    // Heal MySQL. The banner disappears, and the message is applied.
    ctrlC(breaking.child)
    expect((await breaking.ended).output).toContain('healed')
    await page.locator('.banner').waitFor({ state: 'detached' })
    await notice.getByRole('link').click()
    // The page requests the history only once, and the banner can disappear while consumer_three is still paused.
    await eventually(async () => {
      await page.getByRole('button', { name: 'Find' }).click()
      await page.locator('.time-line', { hasText: 'stock_adjustment: adjusted' }).waitFor({ timeout: 10_000 })
    }, WAIT_MS)

    // Nothing is lost, and nothing is applied twice.
    await page.goto(`${http}/#items`)
    await page.locator('#search').fill('NEW000007')
    await row.getByRole('cell', { name: '37', exact: true }).waitFor()
    await page.locator('#search').fill('')
    await all.click()
    await page.getByText(`${numbers.format(STORED)} items`).waitFor()
    // The stock of each item is 40 at 2.50, except for the item from which three were removed.
    await page.locator('[data-test=value]', { hasText: '999,692.50' }).waitFor()
    expect(faults).toEqual([])
    await close()
  })
}
