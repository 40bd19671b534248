// Opens pages in a headless Chromium and records forbidden behaviour, such as a request to another host.
import { execFileSync } from 'node:child_process'
import { AxeBuilder } from '@axe-core/playwright'
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core'
import { findProgram } from '../find-program.ts'

/** Returns the path of Chromium, or a sentence that says why it is not available. */
export function findChromium(): { readonly path: string } | string {
  const found = findProgram('chromium', 'chromium')
  if (typeof found === 'string') return found
  return { path: execFileSync('sh', ['-c', 'command -v chromium'], { encoding: 'utf8' }).trim() }
}

/** Opens Chromium without a sandbox, because it may run as root in a container. The tests open only pages of this machine. */
export async function openChromium({ path }: { readonly path: string }): Promise<Browser> {
  return await chromium.launch({ executablePath: path, args: ['--no-sandbox', '--disable-dev-shm-usage'] })
}

export interface Tab {
  readonly page: Page
  /** Violations of the content security policy, uncaught exceptions, browser dialogs, and requests to other hosts. */
  readonly faults: readonly string[]
  /** The size of all responses so far, as transferred over the network. */
  wireBytes(): Promise<number>
  close(): Promise<void>
}

interface TabOptions {
  readonly scheme?: 'light' | 'dark'
  readonly width?: number
  readonly height?: number
  readonly key?: string
}

/** Opens a tab with its own storage. With `key`, the console already has that API key. */
export async function openTab(browser: Browser, origin: string, options: TabOptions = {}): Promise<Tab> {
  const { scheme = 'light', width = 1_200, height = 800, key } = options
  const context: BrowserContext = await browser.newContext({
    colorScheme: scheme,
    viewport: { width, height },
    locale: 'en-GB',
    reducedMotion: 'reduce',
  })
  if (key !== undefined) await context.addInitScript(`sessionStorage.setItem('ims-api-key', ${JSON.stringify(key)})`)
  const page = await context.newPage()
  const faults: string[] = []
  page.on('console', (line) => {
    if (/Content Security Policy/i.test(line.text())) faults.push(line.text())
  })
  page.on('pageerror', (error) => faults.push(error.stack ?? error.message))
  page.on('dialog', (dialog) => {
    faults.push(`a browser dialog: ${dialog.message()}`)
    void dialog.dismiss()
  })
  let sizes: Promise<number>[] = []
  page.on('request', (request) => {
    const url = new URL(request.url())
    if (url.origin !== origin && url.protocol !== 'data:') faults.push(`a request to ${url.origin}`)
  })
  page.on('requestfinished', (request) => {
    const size = request
      .sizes()
      .then(({ responseBodySize, responseHeadersSize }) => responseBodySize + responseHeadersSize)
    sizes.push(size.catch(() => 0))
  })
  return {
    page,
    faults,
    wireBytes: async () => (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0),
    close: async () => {
      sizes = []
      await context.close()
    },
  }
}

/** The accessibility violations that axe finds on the page, one line per rule. */
export async function accessibilityFaults(page: Page): Promise<string[]> {
  const { violations } = await new AxeBuilder({ page }).analyze()
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(' | ')}`)
}
