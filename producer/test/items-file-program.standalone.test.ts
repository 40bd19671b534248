// The programs `import` and `export` against an API with faults: retries, exit codes, and the files that remain.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { eventually, runToEnd } from 'testkit'
import { z } from 'zod'

const program = (name: 'import' | 'export') => join(import.meta.dirname, '..', 'src', `${name}.ts`)
const HEADER = 'sku,name,label,price,quantity'
const csvOf = (count: number) =>
  `${HEADER}\n${Array.from({ length: count }, (_, n) => `S${n},Item,label,1,${n}\n`).join('')}`

interface Seen {
  readonly method: string
  readonly path: string
  readonly key: string
  readonly sku: string
}
type Reply = (seen: Seen, response: ServerResponse, requests: number) => void

const created: Reply = (_, response) => void response.writeHead(201, { 'Content-Type': 'application/json' }).end('{}')
const status = (response: ServerResponse, code: number, headers = {}, body: object = {}) =>
  void response.writeHead(code, headers).end(JSON.stringify(body))

let folder: string
let url: string
let seen: Seen[]
let reply: Reply
let close: () => Promise<unknown>

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'ims-items-'))
  seen = []
  reply = created
  const server = createServer((request: IncomingMessage, response) => {
    let body = ''
    request.on('data', (chunk) => (body += chunk))
    request.on('end', () => {
      const { method = '', url: path = '', headers } = request
      const { sku } = z.object({ sku: z.string().default('') }).parse(body === '' ? {} : JSON.parse(body))
      const each = { method, path, key: String(headers['idempotency-key']), sku }
      seen.push(each)
      reply(each, response, seen.length)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  url = `http://127.0.0.1:${z.object({ port: z.int() }).parse(server.address()).port}`
  close = () =>
    new Promise((resolve) => {
      server.close(resolve)
      server.closeAllConnections()
    })
})
afterEach(async () => {
  await close()
  rmSync(folder, { recursive: true, force: true })
})

const environment = (more: Record<string, string> = {}) => ({ PATH: process.env.PATH, API_URL: url, ...more })
const run = (name: 'import' | 'export', args: string[], more: Record<string, string> = {}) =>
  runToEnd({ command: [process.execPath, program(name), ...args], cwd: folder, env: environment(more) })
const file = (content: string, name = 'items.csv') => {
  writeFileSync(join(folder, name), content)
  return name
}

describe('an import', () => {
  it('retries a row with the same key until it has an outcome, and counts it once', async () => {
    const replies: Reply[] = [
      (_, response) => status(response, 503, { 'Retry-After': '1' }),
      (_, response) => status(response, 429, { 'Retry-After': '1' }),
      (_, response) => void response.destroy(),
      (_, response) => status(response, 202),
      (_, response) => void response.writeHead(201, { 'Content-Length': '10' }).write('{', () => response.destroy()),
      (_, response) =>
        status(response, 409, { 'Retry-After': '1' }, { type: 'urn:ims:problem:idempotency-key-in-use' }),
    ]
    reply = (each, response, requests) => (replies[requests - 1] ?? created)(each, response, requests)
    const { code, err } = await run('import', [file(csvOf(1))])
    // Progress lines may come before the summary.
    expect([code, err]).toEqual([
      0,
      expect.stringMatching(/(^|\n)1 rows: 1 created, 0 created before, 0 rejected, 0 unknown\n$/),
    ])
    expect(seen).toHaveLength(7)
    expect(new Set(seen.map(({ key }) => key)).size).toBe(1)
  })

  it('stops at once when the API key is rejected, and does not print the key', async () => {
    reply = (_, response) => status(response, 401, {}, { detail: 'No valid API key.' })
    const { code, err } = await run('import', [file(csvOf(1_000))], { API_KEY_FILE: file('secret\n', 'key') })
    expect(code).toBe(78)
    expect(err).toContain('No valid API key.')
    expect(err).not.toContain('secret')
    expect(err).toMatch(/0 created, .* [1-9]\d* unknown/)
    expect(seen.length).toBeLessThanOrEqual(64)
  })

  it('stops when the API stays unavailable, and counts the rows in flight as unknown', async () => {
    reply = (each, response, requests) =>
      each.sku === 'S0' ? created(each, response, requests) : status(response, 503)
    const { code, err } = await run('import', [file(csvOf(50)), '--give-up-after', '1', '--concurrency', '4'])
    expect([code, err]).toEqual([69, expect.stringContaining('gave up: the last response has status 503')])
    expect(err).toMatch(/1 created, 0 created before, 0 rejected, [1-4] unknown/)
  })

  it('does not count a row as created when the API only accepted the message', async () => {
    reply = (_, response) => status(response, 200)
    expect(await run('import', [file(csvOf(2))])).toMatchObject({ code: 3, err: expect.stringContaining('2 unknown') })
  })

  it('distinguishes an item that was created before from a duplicate sku', async () => {
    const there = (quantity: number) => [{ sku: 'x', name: 'Item', label: 'label', price: 1, quantity }]
    const found: Record<string, readonly object[]> = {
      S0: [{ ...there(0)[0], sku: 'S0' }],
      S1: [{ ...there(77)[0], sku: 'S1' }],
      S2: [],
      S3: [{ ...there(77)[0], sku: 'S3' }],
    }
    reply = ({ method, path, sku }, response) => {
      if (method === 'GET') return void response.end(JSON.stringify(found[path.split('sku=')[1] ?? ''] ?? []))
      return sku === 'S3' || sku === 'S4'
        ? status(response, 201, { 'Idempotent-Replayed': 'true' })
        : status(response, 409, {}, { type: 'urn:ims:problem:duplicate-sku', detail: 'exists' })
    }
    const { code, err } = await run('import', [file(csvOf(5))])
    expect([code, err]).toEqual([
      1,
      '5 rows: 0 created, 3 created before, 2 rejected, 0 unknown\nrejected rows: items.rejected.csv\n',
    ])
    const rejected = readFileSync(join(folder, 'items.rejected.csv'), 'utf8')
    expect(rejected).toMatch(/^S1,Item,label,1,1,3,"sku: exists already, with other content"$/m)
    expect(rejected).toMatch(/^S2,.*,4,"sku: refused earlier as a duplicate of an item that no longer exists/m)
  })

  it('sends equal rows one after the other', async () => {
    const inFlight = new Set<string>()
    let overlaps = 0
    reply = (each, response, requests) => {
      overlaps += inFlight.has(each.key) ? 1 : 0
      inFlight.add(each.key)
      setTimeout(() => {
        inFlight.delete(each.key)
        created(each, response, requests)
      }, 20)
    }
    await run('import', [file(`${HEADER}\n${'A,Apple,fruit,1,1\n'.repeat(5)}`)])
    expect([seen.length, overlaps]).toEqual([5, 0])
  })

  it('writes rejected rows to a file that can be corrected and imported, and never overwrites such a file', async () => {
    const text = '\ufeffextra;sku;name;label;price;quantity\r\n=1+1;A;"-2 ""a""\nb";@x;1,x;3\r\n;B;Ok;ok;1,5;3\r\n'
    await run('import', [file(text)])
    const again = await run('import', ['items.csv'])
    expect(again.err).toContain('rejected rows: items.rejected.2.csv')
    const rejected = readFileSync(join(folder, 'items.rejected.csv'), 'utf8')
    expect(rejected).toBe(
      '\ufeffextra;sku;name;label;price;quantity;line;reason\n' +
        `'=1+1;A;"'-2 ""a""\nb";'@x;1,x;3;2;price: must be a number, or a decimal number in a string\n`,
    )
    seen = []
    reply = (each, response, requests) => created(each, response, requests)
    expect(await run('import', [file(rejected.replace('1,x', '1,5'), 'corrected.csv')])).toMatchObject({ code: 0 })
    // The key is the same as if the row had been correct from the start.
    const key = seen[0]?.key
    await run('import', [file(text.replace('1,x', '1,5'), 'right.csv')])
    expect(seen.map((each) => each.key)).toContain(key)
    expect(seen.filter((each) => each.key === key)).toHaveLength(2)
  })

  it('writes rejected rows with a delimiter that an import of this file finds', async () => {
    const rows = 'sku|name|label|price|quantity\nA|a|x|no number|1\n'
    await run('import', [file(`sep=|\n${rows}`)])
    const rejected = readFileSync(join(folder, 'items.rejected.csv'), 'utf8')
    expect(rejected).toMatch(/^sep=\|\nsku\|name/)
    seen = []
    expect(await run('import', [file(rejected.replace('no number', '1'), 'corrected.csv')])).toMatchObject({ code: 0 })
    expect(seen.map(({ sku }) => sku)).toEqual(['A'])
  })

  it('sends nothing in a dry run, and reads the standard input', async () => {
    const child = spawn(
      process.execPath,
      [program('import'), '-', '--format', 'ndjson', '--dry-run', '--rejected', '-'],
      {
        cwd: folder,
        env: environment(),
      },
    )
    let [out, err] = ['', '']
    child.stdout.on('data', (chunk) => (out += chunk))
    child.stderr.on('data', (chunk) => (err += chunk))
    child.stdin.end('{"sku":"A","name":"a","label":"b","price":1,"quantity":2}\n{"sku":"=B"}\n')
    expect(await once(child, 'close')).toEqual([1, null])
    expect(err).toBe('2 rows: 1 valid, 1 rejected; nothing was sent\n')
    expect(out).toContain("'=B,,,,,2,name: is missing")
    expect(seen).toEqual([])
    expect(readdirSync(folder)).toEqual([])
  })

  it('needs about the same memory for 20 times as many rows, and less than 200 MiB', async () => {
    // The heap limit in a container of 256 MiB.
    const heap = '--max-old-space-size=128 --max-semi-space-size=4'
    const peak = "data:text/javascript,process.on('exit',()=>process._rawDebug('peak',process.resourceUsage().maxRSS))"
    const peakMiB = async (rows: number) => {
      const name = file(csvOf(rows), `${rows}.csv`)
      const { code, err } = await run('import', [name], { NODE_OPTIONS: `${heap} --import="${peak}"` })
      expect([code, err]).toEqual([0, expect.stringContaining(`${rows.toLocaleString('en')} created`)])
      return Number(/^peak (\d+)$/m.exec(err)?.[1]) / 1_024
    }
    const few = await peakMiB(2_000)
    const many = await peakMiB(40_000)
    expect(many - few).toBeLessThan(32)
    expect(many).toBeLessThan(200)
  })

  it('prints the counts when it is interrupted while it waits for input and for responses', async () => {
    const held: ServerResponse[] = []
    reply = (each, response, requests) =>
      each.sku === 'S0' ? created(each, response, requests) : void held.push(response)
    const child = spawn(process.execPath, [program('import'), '-', '--format', 'csv'], {
      cwd: folder,
      env: environment(),
    })
    let err = ''
    child.stderr.on('data', (chunk) => (err += chunk))
    // The last row is not sent yet, because it may continue.
    child.stdin.write(csvOf(4))
    await eventually(() => expect(held).toHaveLength(2))
    child.kill('SIGINT')
    // One response arrives before the program exits. The other never arrives.
    held[0]?.writeHead(201).end('{}')
    expect(await once(child, 'close')).toEqual([130, null])
    expect(err).toContain('3 rows: 2 created, 0 created before, 0 rejected, 1 unknown\n')
    expect(err).toContain('interrupted: import the same file again to continue')
  })

  it.each([
    [[], 'one file is needed'],
    [['a.txt'], '--format is needed'],
    [['-'], '--format is needed'],
    [['a.csv', '--format', 'xml'], '--format must be csv, json or ndjson'],
    [['a.csv', '--concurrency', '0'], '--concurrency must be a whole number from 1 to 256'],
    [['a.csv', '--encoding', 'x'], 'there is no encoding "x"'],
    [['a.csv', '--key', 'x'], "Unknown option '--key'"],
    [['missing.csv'], 'missing.csv cannot be read'],
    [['.', '--format', 'csv'], '. is a directory'],
  ])('rejects the arguments %j: %s', async (args, why) => {
    expect(await run('import', args)).toMatchObject({ code: 2, out: '', err: expect.stringContaining(why) })
  })

  it('rejects a file without the columns of items, a path that it cannot write, and an invalid API_URL', async () => {
    expect(await run('import', [file('sku,name\nA,B\n')])).toEqual({
      code: 2,
      out: '',
      err: '✗ the first line of the file must name the columns: label, price, quantity not found\n',
    })
    const elsewhere = ['--rejected', join(folder, 'missing', 'r.csv')]
    expect(await run('import', [file(csvOf(1)), ...elsewhere])).toMatchObject({ code: 73 })
    expect(await run('import', [file(csvOf(1))], { API_URL: 'ftp://x' })).toMatchObject({ code: 78 })
    expect(seen).toEqual([])
  })
})

describe('an export', () => {
  const item = (n: number) => ({ sku: `S${n}`, name: 'Item', label: 'label', price: 1, quantity: n })
  const link = (after: number) => ({ Link: `</order_processing?limit=1000&after=${after}>; rel="next"` })
  const page: Reply = ({ path }, response) =>
    path.endsWith('after=0')
      ? void response.writeHead(200, link(7)).end(JSON.stringify([item(1)]))
      : void response.end(JSON.stringify([item(2)]))

  it('retries a page that failed or was incomplete', async () => {
    reply = (each, response, requests) => {
      if (requests === 1) return status(response, 503)
      if (requests === 3)
        return void response.writeHead(200, { 'Content-Length': '10' }).write('[', () => response.destroy())
      page(each, response, requests)
    }
    expect(await run('export', ['--format', 'ndjson'])).toEqual({
      code: 0,
      out: `${JSON.stringify(item(1))}\n${JSON.stringify(item(2))}\n`,
      err: '2 items exported\n',
    })
    expect(await run('export', ['--format', 'json'])).toMatchObject({
      out: `[\n${JSON.stringify(item(1))},\n${JSON.stringify(item(2))}\n]\n`,
    })
  })

  it('leaves no file when a page never arrives', async () => {
    reply = (each, response, requests) =>
      each.path.endsWith('after=0') ? page(each, response, requests) : void response.destroy()
    const { code, err } = await run('export', ['--output', 'all.csv', '--give-up-after', '1'])
    expect([code, err]).toEqual([69, expect.stringContaining('gave up before the list was complete')])
    expect(readdirSync(folder)).toEqual([])
  })

  it('replaces an existing file only with --overwrite', async () => {
    reply = page
    writeFileSync(join(folder, 'all.csv'), 'mine')
    expect(await run('export', ['--output', 'all.csv'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('--overwrite'),
    })
    expect(readFileSync(join(folder, 'all.csv'), 'utf8')).toBe('mine')
    expect(await run('export', ['--output', 'all.csv', '--overwrite'])).toMatchObject({ code: 0 })
    expect(readFileSync(join(folder, 'all.csv'), 'utf8')).toBe(`${HEADER}\nS1,Item,label,1,1\nS2,Item,label,1,2\n`)
    expect(readdirSync(folder)).toEqual(['all.csv'])
  })

  it('leaves no file when it is interrupted', async () => {
    const held: ServerResponse[] = []
    reply = (each, response, requests) =>
      each.path.endsWith('after=0') ? page(each, response, requests) : void held.push(response)
    const child = spawn(process.execPath, [program('export'), '--output', 'all.csv'], {
      cwd: folder,
      env: environment(),
    })
    await eventually(() => expect(held).toHaveLength(1))
    child.kill('SIGINT')
    expect(await once(child, 'close')).toEqual([130, null])
    expect(readdirSync(folder)).toEqual([])
  })

  it('names a full disk and exits with 73, whether it writes a file or the standard output', async () => {
    reply = page
    // Each write to /dev/full fails as on a full disk.
    const child = spawn('sh', ['-c', 'exec "$0" "$1" >/dev/full', process.execPath, program('export')], {
      cwd: folder,
      env: environment(),
    })
    const [err, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')])
    expect([code, err]).toEqual([73, expect.stringMatching(/cannot be written: .*ENOSPC/)])
    // A limit on the size of a file has the same effect, on any machine.
    const limited = spawn(
      'sh',
      ['-c', 'trap "" XFSZ; ulimit -f 0; exec "$0" "$1" --output all.csv', process.execPath, program('export')],
      {
        cwd: folder,
        env: environment(),
      },
    )
    const [why, [ended]] = await Promise.all([text(limited.stderr), once(limited, 'exit')])
    expect([ended, why]).toEqual([73, expect.stringMatching(/^✗ EFBIG: file too large[^\n]*\n$/)])
    expect(readdirSync(folder)).toEqual([])
  })

  it('does not replace a directory, and reports that before it reads the items', async () => {
    mkdirSync(join(folder, 'all'))
    expect(await run('export', ['--output', 'all', '--overwrite'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('is a directory'),
    })
    expect(seen).toEqual([])
  })

  it('exits with 130 when its output is closed', async () => {
    const items = Array.from({ length: 1_000 }, (_, n) => item(n))
    let after = 0
    reply = (_, response) => {
      after += 1
      response.writeHead(200, link(after)).end(JSON.stringify(items))
    }
    const child = spawn(process.execPath, [program('export')], { cwd: folder, env: environment() })
    await once(child.stdout, 'data')
    child.stdout.destroy()
    expect(await once(child, 'exit')).toEqual([130, null])
  })
})
