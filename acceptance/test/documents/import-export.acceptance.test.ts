// Runs the commands of docs/import-export.md and compares their output. A repeated import changes nothing, and an exported
// file imports to the same items.
import { execFile } from 'node:child_process'
import { createReadStream, createWriteStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { start } from 'testkit'
import { type Stack, startStack } from '../stack.ts'
import { ROOT } from './documents.ts'

const shell = promisify(execFile)
const MINUTE_MS = 60_000

const page = readFileSync(join(ROOT, 'docs/import-export.md'), 'utf8')
const blocks = [...page.matchAll(/^```(sh|text)\n([\s\S]*?)^```$/gm)].map(([, kind = '', text = '']) => ({
  kind,
  text,
}))

/** Texts that file formats, spreadsheets, shells or terminals can misinterpret. */
const HOSTILE = [
  '=1+1',
  "'=1+1",
  "''",
  "'x",
  '+1',
  '-1',
  '@SUM(A1)',
  'a\tb',
  '\tx',
  'a\r\nb\rc\n',
  '"',
  '""',
  'a"b',
  'a,b;c',
  ' x ',
  '\ufeffx',
  '\ufffd',
  '\u0001\u001b[2J',
  '\u2028',
  '\u{1f600}\u0301',
  'null',
  'true',
  '1e5',
  '007',
  '1,5',
  '{"a":1}',
  '\\',
  "\\'",
  '%s',
  '$(id)',
  '\uff1dx',
] as const

describe('import and export', () => {
  let stack: Stack
  let folder: string
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'ims-files-'))
    stack = await startStack('import_export')
  }, 3 * MINUTE_MS)
  afterAll(async () => {
    rmSync(folder, { recursive: true, force: true })
    await stack.stop()
  }, 3 * MINUTE_MS)

  const program = async (name: 'import' | 'export', args: string[], input?: string) => {
    const command = [process.execPath, join(ROOT, `producer/src/${name}.ts`), ...args] as const
    const env = { PATH: process.env.PATH, API_URL: stack.http }
    const started = start({ command: [...command], cwd: folder, env, stdio: ['pipe', 'pipe', 'pipe'] })
    if (input === undefined) started.child.stdin?.end()
    else createReadStream(join(folder, input)).pipe(started.child.stdin ?? createWriteStream('/dev/null'))
    const { code } = await started.ended
    return { code, out: started.out(), err: started.err() }
  }
  const stored = async () =>
    (await stack.pool.query('SELECT sku, name, label, price, quantity FROM inventory ORDER BY sku'))[0]
  const clear = async () => {
    for (const table of ['inventory', 'inbox']) await stack.pool.query(`DELETE FROM ${table}`)
  }

  it(
    'print the output that docs/import-export.md shows',
    async () => {
      let output = ''
      for (const { kind, text } of blocks) {
        if (kind === 'text') for (const line of text.trim().split('\n')) expect(output).toContain(`${line}\n`)
        else {
          // Runs the programs without the image, which has the same files at the same paths. Sets the heap limit of a 256 MiB container.
          const script = text
            .replaceAll('/tmp/', `${folder}/`)
            .replace(/docker compose run .+ producer"$/m, 'env NODE_OPTIONS=--max-old-space-size=128"')
            .replaceAll('$ims node', `$ims ${process.execPath}`)
          const env = { PATH: process.env.PATH, HOME: process.env.HOME, API_URL: stack.http }
          const ran = await shell('bash', ['-c', `{ ${script} } 2>&1`], {
            cwd: ROOT,
            env,
          }).catch((error: { stdout: string }) => error)
          output = ran.stdout.replaceAll(`${folder}/`, '/tmp/')
        }
      }
      const shown = JSON.parse(readFileSync(join(folder, 'all.json'), 'utf8'))
      expect(shown).toHaveLength(3)
      expect(readFileSync(join(folder, 'rejected.csv'), 'utf8')).toContain('TEA-3,Mint tea')
    },
    3 * MINUTE_MS,
  )

  it(
    'apply a repeated import once, report a duplicate with other content, and leave no dead letters',
    async () => {
      await clear()
      const row = (n: number, price = 1) => `S${n},Item ${n},label,${price},${n}\n`
      const rows = Array.from({ length: 3_000 }, (_, n) => row(n))
      writeFileSync(join(folder, 'many.csv'), `sku,name,label,price,quantity\n${rows.join('')}${row(0)}${row(1, 2)}`)
      const first = await program('import', ['many.csv', '--rejected', '-'])
      // On a busy machine, a row may need a second attempt, and then counts as "created before".
      const [, created = '', before = ''] =
        /3,002 rows: ([\d,]+) created, ([\d,]+) created before, 1 rejected, 0 unknown\n/.exec(first.err) ?? []
      expect(Number(created.replace(',', '')) + Number(before)).toBe(3_001)
      expect(first.out).toContain('S1,Item 1,label,2,1,3003,"sku: exists already, with other content"')
      expect(await program('import', ['many.csv', '--rejected', '-'])).toMatchObject({
        code: 1,
        err: expect.stringContaining('3,002 rows: 0 created, 3,001 created before, 1 rejected, 0 unknown\n'),
      })
      // Empties the inbox, as the services do after INBOX_RETENTION_DAYS.
      await stack.pool.query('DELETE FROM inbox')
      expect(await program('import', ['-', '--format', 'csv', '--rejected', '-'], 'many.csv')).toMatchObject({
        code: 1,
        err: expect.stringContaining('3,002 rows: 0 created, 3,001 created before, 1 rejected, 0 unknown\n'),
      })
      expect(await stored()).toHaveLength(3_000)
      expect(await stack.deadLetters('create_item')).toEqual([])
    },
    3 * MINUTE_MS,
  )

  it.each(['csv', 'json', 'ndjson'])(
    'export hostile texts to %s, and import them to the same items',
    async (format) => {
      await clear()
      const items = HOSTILE.flatMap((text, n) => [
        { sku: `N${n}`, name: text, label: `${text}!`, price: n / 4, quantity: n },
        ...(/[\p{Cc}]|^\s|\s$|\ufeff/u.test(text)
          ? []
          : [{ sku: text, name: 'x', label: 'y', price: 0.0001, quantity: 0 }]),
      ])
      writeFileSync(join(folder, 'hostile.json'), JSON.stringify(items))
      expect(await program('import', ['hostile.json'])).toMatchObject({ code: 0 })
      const before = await stored()
      expect(before).toHaveLength(items.length)
      const [output, ...once] = [`all-hostile.${format}`, '--overwrite']
      expect(await program('export', ['--output', output, ...once])).toMatchObject({ code: 0 })
      await clear()
      const again = await program('import', [output])
      expect([again.code, again.err]).toEqual([0, expect.stringMatching(/ 0 rejected, 0 unknown\n$/)])
      expect(await stored()).toEqual(before)
    },
    3 * MINUTE_MS,
  )
})
