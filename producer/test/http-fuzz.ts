// Generates valid, nearly valid and hostile requests from the OpenAPI document, and checks that each response is documented.
import { type Agent, request as httpRequest, type IncomingHttpHeaders, METHODS } from 'node:http'
import { expect } from '@jest/globals'
import fc from 'fast-check'
import { anyCharacter } from 'testkit/any-character'
import { documentedOperations } from './openapi.ts'

const operations = documentedOperations()
const problem = {
  type: expect.stringMatching(/^urn:ims:problem:/),
  title: expect.any(String),
  detail: expect.any(String),
}
const PROBLEM = 'application/problem+json'

export interface GeneratedRequest {
  readonly method: string
  readonly target: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer | undefined
}

const good = fc.record({
  sku: fc.stringMatching(/^[A-Za-z0-9_-]{1,20}$/),
  name: fc.string({ minLength: 1, maxLength: 100 }),
  label: fc.string({ minLength: 1, maxLength: 50 }),
  price: fc.integer({ min: 0, max: 10_000_000 }).map((cents) => cents / 100),
  quantity: fc.nat(),
})
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value) ?? '')
const body: fc.Arbitrary<Buffer | undefined> = fc.oneof(
  { weight: 4, arbitrary: good.map(json) },
  {
    weight: 4,
    arbitrary: fc
      .tuple(good, fc.constantFrom('sku', 'name', 'label', 'price', 'quantity', '__proto__', 'x'), fc.jsonValue())
      .map(([item, name, value]) => json({ ...item, [name]: value })),
  },
  { weight: 2, arbitrary: fc.json().map((text) => Buffer.from(text)) },
  { weight: 2, arbitrary: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      Buffer.alloc(0),
      Buffer.alloc(150_000, 'x'),
      Buffer.from('['.repeat(50_000)),
      Buffer.from('{"sku":1e999,"sku":"a"}'),
      Buffer.from('\ufeff{"sku":"a"}', 'utf16le'),
    ),
  },
  { weight: 1, arbitrary: fc.constant(undefined) },
)

/** A header value of printable ASCII characters, which Node's client accepts. */
const headerText = fc.string({
  unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)),
  maxLength: 60,
})
const headers = fc.record(
  {
    'content-type': fc.oneof(
      { weight: 6, arbitrary: fc.constant('application/json') },
      {
        weight: 3,
        arbitrary: fc.constantFrom(
          'Application/JSON; charset=utf-16',
          'application/x+json',
          'text/plain',
          '',
          'application/json,',
        ),
      },
      { weight: 1, arbitrary: headerText },
    ),
    prefer: fc.oneof(
      fc.constantFrom('wait=0', 'wait=1', 'wait="0"', 'respond-async, wait=0', 'wait=99999999999999999999', 'wait=-1'),
      headerText,
    ),
    'idempotency-key': fc.oneof(fc.constantFrom('"a"', '"b"', '"', 'a'), headerText),
    'content-encoding': fc.constantFrom('identity', 'gzip', 'x'),
    accept: fc.oneof(fc.constantFrom('*/*', 'text/html', 'application/xml;q=0'), headerText),
    'x-request-id': headerText,
    authorization: headerText,
    cookie: headerText,
    'x-forwarded-for': headerText,
    'x-http-method-override': fc.constantFrom('DELETE', 'GET'),
    range: headerText,
    'if-none-match': headerText,
  },
  { requiredKeys: [] },
)
const path = fc.oneof(
  { weight: 10, arbitrary: fc.constantFrom(...operations.keys()) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(
        fc.constantFrom(...operations.keys()),
        fc.constantFrom('/', '//', '/../', '%2f', '%', '%00', ';x', '.json', '%c0%af'),
      )
      .map(([known, more]) => known + more),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      '/HEALTHCHECK',
      '//healthcheck',
      '///create_item',
      '/health%63heck',
      '/__proto__',
      '/constructor',
      '/',
    ),
  },
  { weight: 1, arbitrary: fc.webPath().map((text) => `/${text}`) },
)
const parameter = fc.tuple(
  fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom('sku', 'label', 'quantity_below', 'q', 'limit', 'after') },
    fc.constantFrom('__proto__', 'x', 'sku[]', ''),
  ),
  fc.oneof(
    fc.nat().map(String),
    fc.string({ unit: anyCharacter, maxLength: 30 }).map((text) => encodeURIComponent(text.toWellFormed())),
    fc.constantFrom('', '1', '5001', '0', '-1', '1e3', '9007199254740993', '%', '%zz', '%ff', '%00', 'a%0ab'),
  ),
)
const query = fc
  .array(parameter, { maxLength: 3 })
  .map((pairs) => (pairs.length === 0 ? '' : `?${pairs.map((pair) => pair.join('=')).join('&')}`))
const method = fc.oneof(
  { weight: 3, arbitrary: fc.constant('POST') },
  { weight: 3, arbitrary: fc.constant('GET') },
  // Without CONNECT, because it has no path, and Node closes its connection.
  { weight: 1, arbitrary: fc.constantFrom(...METHODS.filter((name) => name !== 'CONNECT')) },
)

export const generatedRequest: fc.Arbitrary<GeneratedRequest> = fc
  .record({ method, path, query, headers, body })
  .map(({ method, path, query, headers, body }) => ({
    method,
    target: path + query,
    headers: Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== undefined)),
    body: method === 'POST' || method === 'PUT' ? body : undefined,
  }))

export interface Received {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

/** Sends a generated request to a local port and resolves with the whole response. */
export function sendGenerated(
  port: number,
  agent: Agent,
  { method, target, headers, body }: GeneratedRequest,
): Promise<Received> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest(
      {
        host: '127.0.0.1',
        port,
        agent,
        method,
        path: target,
        headers: { ...headers, ...(body ? { 'content-length': String(body.length) } : {}) },
      },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', reject)
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
        )
      },
    )
    sent.on('error', reject)
    sent.end(body)
  })
}

/** Pages and documents that are not operations of the API. */
const CONSOLE_PATHS: ReadonlySet<string> = new Set(['/', '/docs', '/openapi.json'])

function isDecodable(path: string): boolean {
  try {
    decodeURIComponent(path)
    return true
  } catch {
    return false
  }
}

/** Throws unless the response is documented for this request. The only 5xx statuses are 503 and 504. */
export function mustBeDocumented(
  { method, target }: GeneratedRequest,
  { status, headers, body }: Received,
  { hasConsole }: { readonly hasConsole: boolean },
): void {
  if (status >= 500) expect([503, 504]).toContain(status)
  expect(headers['x-request-id']).toMatch(/^[\w.-]{1,128}$/)
  // An encoded letter equals that letter. An encoded slash does not equal a slash.
  const letters = /%(4[1-9a-f]|5[0-9a]|6[1-9a-f]|7[0-9a])/gi
  const path = (target.split('?')[0] ?? '').replace(/^\/+/, '/').replace(letters, (each) => decodeURIComponent(each))
  const known = operations.get(path.replace(/^\/messages\/[^/]+$/, '/messages/{id}'))
  const operation = known?.get(method)
  const isConsole = hasConsole && CONSOLE_PATHS.has(path)
  if (isConsole && ['GET', 'HEAD', 'OPTIONS'].includes(method)) {
    expect([200, 304, 429]).toContain(status)
    return
  }
  if (operation === undefined) {
    const expected = known === undefined && !isConsole ? 404 : 405
    // Without a key, or over the rate limit, the response does not reveal whether the path exists.
    expect([expected, 401, 403, 429, ...(isDecodable(path) ? [] : [400])]).toContain(status)
    if (status === 405) expect(headers.allow).toContain('OPTIONS')
    mustBeProblem(method, status, headers, body)
    return
  }
  const types = operation.get(status)
  if (types === undefined) throw new Error(`${status} is not a documented status of ${method} ${path}`)
  if (method === 'HEAD' || types.length === 0) expect(body).toHaveLength(0)
  else if (types.includes(PROBLEM)) mustBeProblem(method, status, headers, body)
  else {
    expect(types).toContain(headers['content-type'])
    JSON.parse(body.toString())
  }
}

function mustBeProblem(method: string, status: number, headers: IncomingHttpHeaders, body: Buffer): void {
  expect(headers['content-type']).toBe(PROBLEM)
  if (method !== 'HEAD') expect(JSON.parse(body.toString())).toMatchObject({ ...problem, status })
}
