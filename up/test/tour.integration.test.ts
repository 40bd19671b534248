// Runs every command of docs/tour.md in one shell, on its own suite. Each must print the output that the page shows. The command of
// docs/local.md that connects to MySQL runs before the last one.
import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from '@jest/globals'
import { hasServerPrograms, ownSuite } from 'testkit'
import { ROOT } from 'testkit/runs/jest'

const page = readFileSync(join(ROOT, 'docs', 'tour.md'), 'utf8')
const blocks = [...page.matchAll(/^```(sh|text)\n([\s\S]*?)^```$/gm)].map(([, kind = '', text = '']) => ({
  kind,
  text,
}))
const [, lookIntoMysql = ''] =
  /## Look into MySQL\n[\s\S]*?^```sh\n([\s\S]*?)\n```$/m.exec(readFileSync(join(ROOT, 'docs', 'local.md'), 'utf8')) ??
  []
/** The MySQL command of docs/local.md, with the port and password of this suite. */
const skus = `of() { npm run --silent status -- --json | node -p "JSON.parse(require('fs').readFileSync(0)).mysql.$1"; }
echo "=== ${blocks.length}"
${lookIntoMysql.replace('=24458', '=$(of port)').replace('--password', '--password=$(of password)')} <<<"SELECT sku FROM inventory WHERE sku = 'TOUR1'"`
const root = join(tmpdir(), `ims-tour-${process.pid}`)
// Create it in a hook: if all tests are skipped, no hook deletes a folder that was created outside.
beforeAll(() => void mkdirSync(root, { mode: 0o700 }))
let environment: NodeJS.ProcessEnv = {}

/** Runs the script and resolves with its output. */
function shell(script: string): Promise<string> {
  const child = spawn('bash', ['-c', script], { cwd: ROOT, env: environment })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', () => resolve(output))
  })
}

afterAll(async () => {
  if (environment.PORT !== undefined) await shell('npm run down -- --volumes')
  rmSync(root, { recursive: true, force: true })
})

const test = hasServerPrograms() ? it : it.skip

test('each command of docs/tour.md prints the output that the page shows', async () => {
  environment = { ...(await ownSuite(join(root, 'up'))), TMPDIR: root }
  const commands = blocks.map(({ kind, text }, index) => (kind === 'sh' ? `echo "=== ${index}"\n${text}` : ''))
  const [last = ''] = commands.splice(-1, 1)
  const script = [...commands, skus, last]
    .join('\n')
    .replaceAll('127.0.0.1:5000', `127.0.0.1:${environment.PORT}`)
    // The times are longer than on the page, because the machine may be busy.
    .replaceAll('Prefer: wait=5', 'Prefer: wait=30')
    .replaceAll('Prefer: wait=2', 'Prefer: wait=8')
    .replaceAll('break -- mysql 20s', 'break -- mysql 50s')
  const output = await shell(script)
  const after = new Map(output.split(/^=== /m).map((part) => [Number.parseInt(part, 10), part]))
  let shown = ''
  for (const [index, { kind, text }] of blocks.entries()) {
    if (kind === 'sh') shown = after.get(index) ?? ''
    else for (const line of text.trim().split('\n')) expect(shown).toContain(`${line}\n`)
  }
  expect(after.get(blocks.length)).toMatch(/^sku\nTOUR1$/m)
  // The page does not show this output, or shows only a part of it.
  expect(output).toContain('mysql does not respond for 50 s')
  expect(output).toMatch(/applied: adjusted/)
  expect(output).toMatch(/^0 faults, \d+ not checked, \d+ fine$/m)
  expect(output).toMatch(/consumer_three +not-ready/)
})
