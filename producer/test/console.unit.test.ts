// The files of the console over HTTP: access, headers, caching, and paths that are not served.
import { describe, expect, it } from '@jest/globals'
import request from 'supertest'
import { readConsole } from '../src/console/files.ts'
import { createApp } from '../src/producer.ts'
import { adminEnvironment, appUnderTest } from './app-under-test.ts'

const files = readConsole()
const HTML = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'

function consoleUnderTest(environment: Record<string, string> = {}) {
  const under = appUnderTest({ environment })
  const { config, service, rabbitmq } = under
  return { ...under, app: createApp({ broker: rabbitmq.open(), config, service, console: files }) }
}

const script = [...files.hashed.keys()].find((path) => path.startsWith('/console/main-')) ?? ''

describe('the console', () => {
  it('is a page for browsers, and JSON links for other clients', async () => {
    const { app } = consoleUnderTest()
    const page = await request(app).get('/').set('Accept', HTML)
    expect([page.status, page.type]).toEqual([200, 'text/html'])
    expect(page.headers.vary).toBe('Accept, Accept-Encoding')
    const links = await request(app).get('/').set('Accept', '*/*')
    expect(links.body).toEqual({
      console: '/',
      documentation: '/docs',
      openapi: '/openapi.json',
      paths: expect.arrayContaining(['/create_item', '/order_processing', '/messages/:id']),
    })
    expect((await request(app).get('/openapi.json')).body).toHaveProperty('openapi', '3.1.0')
  })

  it('has a policy that allows only its own files, and no inline scripts or styles', async () => {
    const { app } = consoleUnderTest()
    for (const path of ['/', '/docs', script]) {
      const { headers } = await request(app).get(path).set('Accept', HTML)
      expect(headers['content-security-policy']).toBe(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
      )
      expect(headers['x-content-type-options']).toBe('nosniff')
    }
    expect((await request(app).get('/healthcheck')).headers['content-security-policy']).toBe(
      "default-src 'none';frame-ancestors 'none'",
    )
  })

  it('needs no API key, unlike the API', async () => {
    const { app } = consoleUnderTest(adminEnvironment)
    for (const path of ['/', '/docs', '/openapi.json', script])
      expect((await request(app).get(path).set('Accept', HTML)).status).toBe(200)
    for (const path of ['/order_processing', '/console/', '/console/other.js'])
      expect((await request(app).get(path)).status).toBe(401)
  })

  it('loads files with a hash in their names, which browsers may cache for a year', async () => {
    const { app } = consoleUnderTest()
    const page = (await request(app).get('/').set('Accept', HTML)).text
    const named = [...page.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path = '']) => path)
    const paths = named.filter((path) => path !== 'data:,')
    expect(paths.length).toBeGreaterThan(3)
    for (const path of paths) {
      expect(path).toMatch(/^\/console\/[\w-]+-[0-9a-f]{12}\.(js|css)$/)
      const { status, headers, type } = await request(app).get(path)
      expect([status, headers['cache-control']]).toEqual([200, 'public, max-age=31536000, immutable'])
      expect(type).toBe(path.endsWith('.js') ? 'text/javascript' : 'text/css')
    }
  })

  it('serves every file that a module imports, also with import()', () => {
    for (const [path, { identity }] of files.hashed)
      for (const [, target] of identity.toString().matchAll(/\b(?:from|import)\s*\(?\s*["']([\w./-]+)["']/g))
        expect([path, target, files.hashed.has(target ?? '')]).toEqual([path, target, true])
  })

  it('is compressed for clients that accept it', async () => {
    const { app } = consoleUnderTest()
    const brotli = await request(app).get(script).set('Accept-Encoding', 'gzip, br;q=0.5').buffer(true)
    expect(brotli.headers['content-encoding']).toBe('br')
    expect(brotli.text).toBe(files.hashed.get(script)?.identity.toString())
    expect((await request(app).get(script).set('Accept-Encoding', 'gzip')).headers['content-encoding']).toBe('gzip')
    const plain = await request(app).get(script).set('Accept-Encoding', 'br;q=0, identity')
    expect(plain.headers).not.toHaveProperty('content-encoding')
  })

  it('returns 304 to a browser that has the current version', async () => {
    const { app } = consoleUnderTest()
    const { headers } = await request(app).get('/').set('Accept', HTML)
    expect(headers['cache-control']).toBe('no-cache')
    for (const known of [headers.etag ?? '', `"x", W/${headers.etag}`, '*']) {
      const again = await request(app).get('/').set('Accept', HTML).set('If-None-Match', known)
      expect([again.status, again.text]).toEqual([304, ''])
    }
    expect((await request(app).get('/').set('Accept', HTML).set('If-None-Match', '"other"')).status).toBe(200)
  })

  it.each(['/', '/docs', '/openapi.json', script])(
    'responds to HEAD with the length of GET, to POST with 405, and to OPTIONS with the methods: %s',
    async (path) => {
      const { app } = consoleUnderTest()
      const got = await request(app).get(path).set('Accept', HTML).set('Accept-Encoding', 'gzip')
      const head = await request(app).head(path).set('Accept', HTML).set('Accept-Encoding', 'gzip')
      expect([head.status, head.text, head.headers['content-length']]).toEqual([
        200,
        undefined,
        got.headers['content-length'],
      ])
      const posted = await request(app).post(path)
      expect([posted.status, posted.headers.allow]).toEqual([405, 'GET, HEAD, OPTIONS'])
      expect((await request(app).options(path)).headers.allow).toBe('GET, HEAD, OPTIONS')
    },
  )

  it.each([
    '/console/../package.json',
    '/console/%2e%2e/main.ts',
    '/console/..%2f..%2fmain.ts',
    '/console/%2e%2e%2f%2e%2e%2fmain.ts',
    '/console/page/main.js',
    '/console/main.js',
    '/console/constructor',
    '/index.html',
  ])('returns 404 for a path that is not one of its files: %s', async (path) => {
    const { app } = consoleUnderTest()
    expect((await request(app).get(path).set('Accept', HTML)).status).toBe(404)
  })

  it('is smaller than 120 kB in total when it is compressed', () => {
    const bytes = [files.console, ...files.hashed.values()].reduce((sum, { br }) => sum + br.length, 0)
    expect(bytes).toBeLessThan(120_000)
  })

  it('is not served unless its files are passed to createApp', async () => {
    expect((await request(appUnderTest().app).get('/').set('Accept', HTML)).status).toBe(404)
  })
})
