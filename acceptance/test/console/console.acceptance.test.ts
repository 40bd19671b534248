// Tests the console in a real browser on the whole suite: each action and its outcome, outages, many items, hostile text.
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals'
import type { Browser, Page } from 'playwright-core'
import { eventually, serversUnderTest, startTcpProxy, type TcpProxy } from 'testkit'
import { ROOT, type Stack, startStackOn } from '../stack.ts'
import { accessibilityFaults, findChromium, openChromium, openTab, type Tab } from './browser.ts'

const IMAGES = join(ROOT, 'docs/images')
const [KEY, ADMIN_KEY] = ['key-of-a-clerk', 'key-of-an-operator']
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
const WAIT_MS = 90_000
const HOSTILE = '<img src=x onerror=alert(1)>'
const MANY = 12_000
const LINES_DRAWN = `[...document.querySelectorAll('.plot')].map((plot) => {
  const line = getComputedStyle(plot).color.match(/\\d+/g).map(Number)
  const canvas = plot.querySelector('canvas')
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
  const isLine = (at) => data[at + 3] > 150 && line.every((value, band) => Math.abs(data[at + band] - value) < 16)
  for (let at = 0; at < data.length; at += 4) if (isLine(at)) return true
  return false
})`

const found = findChromium()

if (typeof found === 'string') describe.skip(`the console, skipped because ${found}`, () => tests({ path: '' }))
else describe('the console', () => tests(found))

function tests(program: { readonly path: string }): void {
  let stack: Stack
  let broker: TcpProxy
  let database: TcpProxy
  let browser: Browser
  const tabs: Tab[] = []

  beforeAll(async () => {
    const { servers, space } = await serversUnderTest('console')
    broker = await startTcpProxy(space.rabbitmq)
    database = await startTcpProxy(space.mysql)
    const keys = [`clerk read,write ${sha256(KEY)}`, `operator read,write,admin ${sha256(ADMIN_KEY)}`]
    stack = await startStackOn(servers, space, {
      env: { API_KEYS: keys.join(';') },
      envOf: (name) =>
        name === 'producer' ? { RABBITMQ_PORT: String(broker.port) } : { MYSQL_PORT: String(database.port) },
    })
    await stack.ready()
    browser = await openChromium(program)
  })
  afterEach(async () => {
    broker.turnAway(false)
    database.turnAway(false)
    for (const tab of tabs.splice(0)) await tab.close()
    // After an outage, the first listing of the next test would fail while a service is not ready.
    await stack.ready()
    await stack.pool.query('DELETE FROM inventory')
  })
  afterAll(async () => {
    await browser?.close()
    await stack?.stop()
    await broker?.close()
    await database?.close()
  })

  async function open(path = '', options: Parameters<typeof openTab>[2] = { key: KEY }): Promise<Tab> {
    const tab = await openTab(browser, stack.http, options)
    tab.page.setDefaultTimeout(WAIT_MS)
    tabs.push(tab)
    await tab.page.goto(`${stack.http}/${path}`)
    return tab
  }

  const row = (page: Page, sku: string) => page.locator('table.items tbody tr', { hasText: sku })
  const notice = (page: Page, text: string | RegExp) => page.locator('.notices .notice', { hasText: text })

  async function fill(count: number): Promise<void> {
    const rows = Array.from({ length: count }, (_, n) => [
      `IB${String(n).padStart(9, '0')}`,
      `Item ${n}`,
      'tea',
      2.5,
      4,
    ])
    for (let at = 0; at < count; at += 2_000)
      await stack.pool.query('INSERT INTO inventory (sku, name, label, price, quantity) VALUES ?', [
        rows.slice(at, at + 2_000),
      ])
  }

  async function add(page: Page, item: Readonly<Record<string, string>>): Promise<void> {
    await page.getByRole('button', { name: 'Add an item' }).click()
    for (const [name, value] of Object.entries(item)) await page.locator(`dialog #${name}`).fill(value)
    await page.locator('dialog').getByRole('button', { name: 'Add', exact: true }).click()
  }
  const juice = { sku: 'IB1', name: 'Apple Juice', label: 'juice', price: '25.00', quantity: '50' }

  it('asks for an API key if the API requires one, and keeps it when the page is reloaded', async () => {
    const { page, faults } = await open('', {})
    await page.locator('dialog', { hasText: 'The API needs a key.' }).waitFor()
    await page.locator('#key').fill('wrong')
    await page.keyboard.press('Enter')
    await page.locator('dialog', { hasText: 'The API key is not valid.' }).waitFor()
    await page.locator('#key').fill(KEY)
    await page.keyboard.press('Enter')
    await page.getByText('There are no items yet.').waitFor()
    await page.reload()
    await page.getByText('There are no items yet.').waitFor()
    expect(faults).toEqual([])
  })

  it('adds an item, changes its stock and deletes it, and shows each outcome', async () => {
    const { page, faults } = await open()
    await add(page, juice)
    await row(page, 'IB1').waitFor()
    expect(await page.locator('[data-test=count]').textContent()).toBe('1 item')
    expect(await page.locator('[data-test=value]').textContent()).toBe('1,250.00')
    await page.getByRole('button', { name: 'Less of IB1' }).click()
    await page.locator('#amount').fill('3')
    await page.keyboard.press('Enter')
    await row(page, 'IB1').getByRole('cell', { name: '47', exact: true }).waitFor()
    await page.getByRole('button', { name: 'Less of IB1' }).click()
    await page.locator('#amount').fill('100')
    await page.keyboard.press('Enter')
    await notice(page, 'The stock was not changed').waitFor()
    await page.getByRole('button', { name: 'More of IB1' }).click()
    await page.locator('#amount:focus').waitFor()
    await page.keyboard.press('Enter')
    await row(page, 'IB1').getByRole('cell', { name: '48', exact: true }).waitFor()
    await page.getByRole('button', { name: 'Delete IB1' }).click()
    await page.locator('dialog').getByRole('button', { name: 'Delete' }).click()
    await notice(page, /Delete IB1.*Done/).waitFor()
    await row(page, 'IB1').waitFor({ state: 'detached' })
    expect(await stack.skus()).toEqual([])
    expect(faults).toEqual([])
  })

  it('shows the errors of its own checks and of the API next to the fields', async () => {
    const { page } = await open()
    await add(page, { ...juice, sku: '', name: 'n'.repeat(101), price: '-1', quantity: '1.5' })
    for (const [field, text] of [
      ['sku', 'must not be empty'],
      ['name', 'must have at most 100 characters'],
      ['price', 'must not be negative'],
      ['quantity', 'must be a whole number'],
    ])
      expect(await page.locator(`#${field}-error`).textContent()).toBe(text)
    // Only the API rejects leading white space.
    await page.locator('dialog #sku').fill(' a')
    for (const name of ['name', 'price', 'quantity'] as const) await page.locator(`dialog #${name}`).fill(juice[name])
    await page.locator('dialog').getByRole('button', { name: 'Add', exact: true }).click()
    await page.locator('#sku-error', { hasText: 'must not begin or end with white space' }).waitFor()
    await stack.pool.query("INSERT INTO inventory (sku, name, label, price, quantity) VALUES ('IB1', 'x', 'x', 1, 1)")
    await page.locator('dialog #sku').fill('IB1')
    await page.locator('dialog').getByRole('button', { name: 'Add', exact: true }).click()
    await page.locator('#sku-error', { hasText: 'exists already' }).waitFor()
  })

  it('sends no request for a deletion that is taken back within five seconds', async () => {
    await fill(1)
    const { page } = await open()
    const posted: string[] = []
    page.on('request', (request) => void (request.method() === 'POST' && posted.push(request.url())))
    await page.clock.install()
    await page.getByRole('button', { name: 'Delete IB000000000' }).click()
    await page.locator('dialog').getByRole('button', { name: 'Delete' }).click()
    await notice(page, 'It will be sent in 5 seconds.').getByRole('button', { name: 'Take back' }).click()
    await page.clock.fastForward(20_000)
    await notice(page, 'nothing was sent').waitFor()
    expect(posted).toEqual([])
    expect(await stack.skus()).toEqual(['IB000000000'])
  })

  it('keeps a pending deletion when the view changes, and removes the row when the deletion is applied', async () => {
    await fill(2)
    const { page } = await open()
    let go = () => {}
    const held = new Promise<void>((resolve) => {
      go = resolve
    })
    await page.route('**/stock_management', async (route) => {
      await held
      await route.continue()
    })
    await page.getByRole('button', { name: 'Delete IB000000000' }).click()
    await page.locator('dialog').getByRole('button', { name: 'Delete' }).click()
    await page.getByRole('link', { name: 'Health' }).click()
    await page.getByRole('heading', { name: 'Health' }).waitFor()
    await page.getByRole('link', { name: 'Items' }).click()
    await row(page, 'IB000000001').waitFor()
    expect(await page.getByRole('button', { name: 'Delete IB000000000' }).isDisabled()).toBe(true)
    go()
    await row(page, 'IB000000000').waitFor({ state: 'detached' })
    expect(await stack.skus()).toEqual(['IB000000001'])
  })

  it('reuses the Idempotency-Key if the user retries a command whose response was lost, so that it is applied once', async () => {
    await fill(1)
    const { page } = await open()
    const keys: (string | undefined)[] = []
    // The first request reaches the API, but its response is lost.
    await page.route('**/stock_adjustment', async (route) => {
      keys.push(route.request().headers()['idempotency-key'])
      if (keys.length > 1) return await route.continue()
      await route.fetch()
      await route.abort('connectionreset')
    })
    await page.getByRole('button', { name: 'More of IB000000000' }).click()
    await page.locator('#amount:focus').waitFor()
    await page.keyboard.press('Enter')
    const unknown = notice(page, 'It is not known whether the command was applied')
    await unknown.getByRole('button', { name: 'Try again' }).click()
    await row(page, 'IB000000000').getByRole('cell', { name: '5', exact: true }).waitFor()
    expect(keys).toEqual([expect.stringMatching(/^".+"$/), keys[0]])
    await page.goto(`${stack.http}/#messages`)
    await page.locator('.commands li', { hasText: 'Applied' }).waitFor()
    const [rows] = await stack.pool.query("SELECT quantity FROM inventory WHERE sku = 'IB000000000'")
    expect(rows).toEqual([{ quantity: expect.anything() }])
    expect(JSON.stringify(rows)).toContain('5')
  })

  it('finds items by a part of a word and by a scanned barcode', async () => {
    await fill(300)
    await stack.pool.query(
      "INSERT INTO inventory (sku, name, label, price, quantity) VALUES ('4006381333931', 'Crème', 'sweet', 1, 1)",
    )
    const { page } = await open()
    await page.locator('#search').fill('CREM')
    await row(page, '4006381333931').waitFor()
    expect(await page.locator('[data-test=count]').textContent()).toBe('1 item')
    await page.locator('#search').fill('nothing like it')
    await page.getByText('No item has “nothing like it”').waitFor()
    await page.locator('#search').fill('')
    await page.keyboard.type('4006381333931')
    await page.keyboard.press('Enter')
    await row(page, '4006381333931').waitFor()
    // The next scan replaces the sku in the search field.
    await page.keyboard.type('IB000000007')
    await page.keyboard.press('Enter')
    await row(page, 'IB000000007').waitFor()
    expect(await page.locator('#search').inputValue()).toBe('IB000000007')
  })

  it(`renders only the visible rows of ${MANY} items, and sorts all of them`, async () => {
    await fill(MANY)
    const { page, faults } = await open()
    await row(page, 'IB000000000').waitFor()
    // The console does not sort a list that is only partly loaded.
    expect(await page.getByRole('button', { name: /^Name/ }).isDisabled()).toBe(true)
    await page.getByRole('button', { name: 'Load all' }).click()
    await page.locator('[data-test=count]', { hasText: '12,000 items' }).waitFor()
    expect(await page.locator('[data-test=value]').textContent()).toBe('120,000.00')
    expect(await page.locator('table.items tbody tr').count()).toBeLessThan(80)
    await page.evaluate("document.querySelector('.view').scrollTo(0, 1e9)")
    await row(page, 'IB000011999').waitFor()
    await page.getByRole('button', { name: /^Name/ }).click()
    await page.getByRole('button', { name: /^Name/ }).click()
    await page.evaluate("document.querySelector('.view').scrollTo(0, 0)")
    await row(page, 'Item 11999').waitFor()
    expect(faults).toEqual([])
  })

  it('shows hostile text as plain text', async () => {
    await stack.pool.query('INSERT INTO inventory (sku, name, label, price, quantity) VALUES ?', [
      [[HOSTILE.slice(0, 20), HOSTILE, '"><script>alert(2)</script>', 1, 1]],
    ])
    const { page, faults } = await open()
    await row(page, HOSTILE).waitFor()
    expect(await page.locator('table.items img, table.items script').count()).toBe(0)
    await page.locator('#search').fill(HOSTILE)
    await row(page, HOSTILE).waitFor()
    await page.goto(`${stack.http}/#messages/${encodeURIComponent(HOSTILE)}`)
    await page.locator('.id', { hasText: HOSTILE }).waitFor()
    expect(faults).toEqual([])
  })

  it('shows the history of a message, and remembers the commands of this browser', async () => {
    const { page } = await open()
    await add(page, juice)
    await notice(page, /Add IB1.*Done/)
      .getByRole('link')
      .click()
    await page.locator('.time-line', { hasText: 'create_item: created' }).waitFor()
    await page.reload()
    await page.locator('.commands li', { hasText: 'Add IB1.' }).waitFor()
    await page.locator('#message-id').fill('never seen')
    await page.keyboard.press('Enter')
    await page.getByText('It may never have been sent.').waitFor()
  })

  it('ignores a late response about another message, and tolerates a corrupt list of commands', async () => {
    const { page } = await open()
    await page.evaluate(`localStorage.setItem('ims-commands', '[null]')`)
    const held = Promise.withResolvers<void>()
    await page.route('**/messages/slow', async (route) => {
      await held.promise
      await route.continue()
    })
    await page.goto(`${stack.http}/#messages/slow`)
    await page.goto(`${stack.http}/#messages/quick`)
    await page.locator('.card .id', { hasText: 'quick' }).waitFor()
    const late = page.waitForResponse('**/messages/slow')
    held.resolve()
    await late
    await page.waitForTimeout(500)
    expect(await page.locator('.card .id').allTextContents()).toEqual(['quick'])
  })

  it('reloads the list when an item was created, but not when another producer responds', async () => {
    const { page } = await open()
    await page.getByText('There are no items yet.').waitFor()
    let responses = 0
    await page.route('**/queues', async (route) => {
      const response = await route.fetch()
      const body = await response.json()
      responses += 1
      for (const each of body.queues) if (each.queue === 'create_item') each.accepted += (responses % 2) * 1_000
      await route.fulfill({ response, json: { ...body, producer: `producer ${responses % 2}` } })
    })
    const reads: string[] = []
    page.on('request', (request) => {
      if (/order_processing\?limit=\d{3}/.test(request.url())) reads.push(request.url())
    })
    await eventually(() => expect(responses).toBeGreaterThan(4), WAIT_MS)
    expect(reads).toEqual([])
    await fetch(`${stack.http}/create_item`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${KEY}` },
      body: JSON.stringify({ ...juice, price: 1, quantity: 1 }),
    })
    await row(page, 'IB1').waitFor()
  })

  it('shows a banner while the broker is down, and reports that a command was not stored', async () => {
    await fill(1)
    const { page } = await open()
    await row(page, 'IB000000000').waitFor()
    broker.turnAway(true)
    broker.cut()
    await page.locator('.banner', { hasText: 'The broker cannot be reached' }).waitFor()
    await page.getByRole('button', { name: 'More of IB000000000' }).click()
    await page.locator('#amount:focus').waitFor()
    await page.keyboard.press('Enter')
    const refused = notice(page, 'it was not stored')
    await refused.waitFor()
    broker.turnAway(false)
    await page.locator('.banner').waitFor({ state: 'detached' })
    await refused.getByRole('button', { name: 'Try again' }).click()
    await row(page, 'IB000000000').getByRole('cell', { name: '5', exact: true }).waitFor()
  })

  it('shows a banner while MySQL is down, and reports that the outcome of a command is not known yet', async () => {
    const { page } = await open()
    await page.getByText('There are no items yet.').waitFor()
    database.turnAway(true)
    database.cut()
    await add(page, juice)
    await notice(page, 'Its outcome is not known yet').waitFor()
    await page.locator('.banner', { hasText: 'MySQL is down' }).waitFor()
    database.turnAway(false)
    await page.locator('.banner').waitFor({ state: 'detached' })
    // The banner can disappear while consumer_two is still paused. If the command were sent again before the first one is
    // applied, its outcome could again be unknown after ten seconds.
    await eventually(async () => expect(await stack.skus()).toEqual(['IB1']), WAIT_MS)
    await notice(page, /Add IB1/)
      .getByRole('button', { name: 'Try again' })
      .click()
    await notice(page, /Add IB1.*Done/).waitFor()
    expect(await stack.skus()).toEqual(['IB1'])
  })

  it('shows a banner while MySQL is down, even if no command is sent', async () => {
    const { page } = await open()
    await page.getByText('There are no items yet.').waitFor()
    database.turnAway(true)
    database.cut()
    await page.locator('.banner', { hasText: 'MySQL is down' }).waitFor()
    database.turnAway(false)
    await page.locator('.banner').waitFor({ state: 'detached' })
  })

  it('shows a banner while the producer cannot be reached', async () => {
    const { page } = await open()
    await page.getByText('There are no items yet.').waitFor()
    await page.context().setOffline(true)
    await page.locator('.banner', { hasText: 'The producer cannot be reached' }).waitFor()
    await page.getByRole('button', { name: 'Reload' }).click()
    await page.locator('.failed', { hasText: 'No response arrived.' }).waitFor()
    await page.context().setOffline(false)
    await page.locator('.banner').waitFor({ state: 'detached' })
    await page.locator('.failed').getByRole('button', { name: 'Try again' }).click()
    await page.getByText('There are no items yet.').waitFor()
  })

  it('redrives dead letters only if the user enters their number, shows how many were applied, and discards the rest', async () => {
    const channel = stack.channel
    const send = (body: object | string) =>
      channel.sendToQueue('create_item', Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)), {
        persistent: true,
      })
    const item = { sku: 'twice', name: 'x', label: 'x', price: 1, quantity: 1 }
    await stack.pool.query("INSERT INTO inventory (sku, name, label, price, quantity) VALUES ('twice', 'y', 'y', 2, 2)")
    send(item)
    send(`${HOSTILE} is not JSON`)
    await eventually(async () => expect(await stack.depth('create_item.dead-letter')).toBe(2), WAIT_MS)

    const clerk = await open('#dead-letters')
    await clerk.page.getByText('does not have the scope admin').waitFor()

    const { page, faults } = await open('#dead-letters', { key: ADMIN_KEY })
    await page.getByRole('button', { name: 'Show not-json of create_item' }).click()
    await page.locator('.letters pre', { hasText: HOSTILE }).waitFor()
    expect(await page.locator('.letters img').count()).toBe(0)
    await page.getByRole('button', { name: 'Show duplicate-sku of create_item' }).click()
    await page.locator('.letters pre', { hasText: 'twice' }).waitFor()
    await stack.pool.query("DELETE FROM inventory WHERE sku = 'twice'")
    await page.locator('.letters input[type=checkbox]').check()
    await page.getByRole('button', { name: 'Redrive 1 selected' }).click()
    await page.locator('#number').fill('2')
    await page.keyboard.press('Enter')
    await page.getByText('must be 1').waitFor()
    expect(await stack.depth('create_item.dead-letter')).toBe(2)
    await page.locator('#number').fill('1')
    await page.keyboard.press('Enter')
    await page.locator('[data-test=worked]', { hasText: '1 applied, 0 unknown; 1 left on the queue.' }).waitFor()
    expect(await stack.skus()).toEqual(['twice'])
    await page.getByRole('button', { name: 'Show not-json of create_item' }).click()
    await page.getByRole('button', { name: 'Discard all with this reason' }).click()
    await page.locator('#number').fill('1')
    await page.keyboard.press('Enter')
    await page.getByText('There are no dead letters.').waitFor()
    expect(faults).toEqual([])
  })

  it('shows the counts of a queue, and sends a health check that consumer_one receives', async () => {
    const { page } = await open('#health')
    await eventually(async () => {
      const text = await page.locator('tbody tr', { hasText: 'create_item' }).innerText()
      // The console must show the same number of consumers as the broker.
      const { consumerCount } = await stack.channel.checkQueue('create_item')
      expect(text.split(/\s+/)).toEqual(['create_item', 'consumer_two', '0', String(consumerCount), '0'])
    }, WAIT_MS)
    await page.getByRole('button', { name: 'Send a health check' }).click()
    const text = await notice(page, 'The broker has stored it').textContent()
    const id = /Message (\S{36})/.exec(text ?? '')?.[1]
    await eventually(
      async () => expect(stack.lines('consumer_one').some(({ messageId }) => messageId === id)).toBe(true),
      WAIT_MS,
    )
  })

  it('draws the rates at which commands are accepted and are removed from the queues', async () => {
    const { page, faults } = await open('#health')
    // Looks for pixels in the colour of the line. The axes have a different colour.
    const drawn = () => page.evaluate(LINES_DRAWN)
    await eventually(async () => expect(await drawn()).toEqual([true, true]), WAIT_MS)
    const rate = async (name: string) => Number(await page.locator(`[data-test=${name}]`).textContent())
    await page.locator('[data-test=accepted]', { hasText: /^0$/ }).waitFor()
    // Without a database, no consumer receives these messages. They are accepted and wait in the queue.
    database.turnAway(true)
    database.cut()
    const sending = setInterval(() => {
      const body = JSON.stringify({ sku: 'IB1', change: 1, reason: 'counted' })
      const headers = { 'Content-Type': 'application/json', Authorization: `Bearer ${KEY}` }
      void fetch(`${stack.http}/stock_adjustment`, { method: 'POST', headers, body }).catch(() => {})
    }, 50)
    try {
      await eventually(async () => {
        expect(await rate('accepted')).toBeGreaterThan(2)
        expect(await rate('left')).toBeLessThan(1)
      }, WAIT_MS)
      database.turnAway(false)
      // The queue drains: more messages leave than arrive.
      await eventually(async () => expect(await rate('left')).toBeGreaterThan(await rate('accepted')), WAIT_MS)
    } finally {
      clearInterval(sending)
    }
    await page.locator('[data-test=left]', { hasText: /^0$/ }).waitFor()
    await eventually(async () => expect(await stack.depth('stock_adjustment')).toBe(0), WAIT_MS)
    await stack.deadLetters('stock_adjustment')
    expect(faults).toEqual([])
  })

  it('adds an item with the keyboard alone', async () => {
    const { page } = await open()
    await page.getByText('There are no items yet.').waitFor()
    await page.locator('#search').focus()
    for (let tab = 0; tab < 3; tab += 1) await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    await page.locator('dialog').waitFor()
    for (const value of Object.values(juice)) {
      await page.keyboard.type(value)
      await page.keyboard.press('Tab')
    }
    await page.keyboard.press('Enter')
    await row(page, 'IB1').waitFor()
    await page.keyboard.press('Escape')
    expect(await page.locator('dialog').count()).toBe(0)
  })

  it.each(['light', 'dark'] as const)(
    'has no accessibility violation at the width of a desktop or a phone: %s scheme',
    async (scheme) => {
      await fill(40)
      stack.channel.sendToQueue('create_item', Buffer.from('{}'), { persistent: true })
      await eventually(async () => expect(await stack.depth('create_item.dead-letter')).toBeGreaterThan(0), WAIT_MS)
      for (const [width, height] of [
        [1_200, 800],
        [360, 740],
      ] as const) {
        const { page, faults } = await open('', { key: ADMIN_KEY, scheme, width, height })
        await row(page, 'IB000000000').waitFor()
        expect(await accessibilityFaults(page)).toEqual([])
        if (width > 1_000) await page.screenshot({ path: join(IMAGES, `console-items-${scheme}.png`) })
        expect(await page.evaluate('document.body.scrollWidth')).toBeLessThanOrEqual(width)
        await page.getByRole('button', { name: 'Add an item' }).click()
        await page.locator('dialog').getByRole('button', { name: 'Add', exact: true }).click()
        await page.locator('#sku-error').waitFor()
        expect(await accessibilityFaults(page)).toEqual([])
        await page.keyboard.press('Escape')
        for (const [hash, ready] of [
          ['#messages/nothing', 'It may never have been sent.'],
          ['#dead-letters', 'invalid'],
          ['#health', 'consumer_two'],
        ] as const) {
          await page.goto(`${stack.http}/${hash}`)
          await page.getByText(ready).first().waitFor()
          if (hash === '#health') await page.locator('.plot canvas').nth(1).waitFor()
          if (hash === '#dead-letters') {
            await page.getByRole('button', { name: /^Show/ }).first().click()
            await page.locator('.letters pre').first().waitFor()
            if (width > 1_000) await page.screenshot({ path: join(IMAGES, `console-dead-letters-${scheme}.png`) })
          }
          expect(await accessibilityFaults(page)).toEqual([])
          expect(await page.evaluate('document.body.scrollWidth')).toBeLessThanOrEqual(width)
        }
        expect(faults).toEqual([])
      }
      await stack.deadLetters('create_item')
    },
  )

  it('transfers less than 120 kB when there are no items', async () => {
    const { page, wireBytes } = await open()
    await page.getByText('There are no items yet.').waitFor()
    expect(await wireBytes()).toBeLessThan(120_000)
  })

  it('serves API documentation without accessibility violations and without requests to other hosts', async () => {
    for (const scheme of ['light', 'dark'] as const) {
      const { page, faults } = await open('docs', { scheme })
      await page.getByRole('heading', { name: 'POST /create_item' }).waitFor()
      for (const path of ['/order_processing', '/queues', '/dead_letters/{queue}/redrive'])
        expect(
          await page.getByRole('heading', { name: new RegExp(`${path.replace(/[{}]/g, '.')}$`) }).count(),
        ).toBeGreaterThan(0)
      await page.locator('#createItem pre', { hasText: 'Tropicana Apple Juice' }).first().waitFor()
      await page.locator('#createItem td', { hasText: 'Example: wait=20' }).waitFor()
      // axe takes a long time on this page.
      if (scheme === 'light') expect(await accessibilityFaults(page)).toEqual([])
      expect(faults).toEqual([])
    }
  })
}
