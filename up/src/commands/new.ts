// `new command QUEUE --consumer CONSUMER`: adds a message type with its own consumer, and prints the remaining work.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { ROOT } from 'testkit/runs/jest'
import { newConsumer } from '../new/consumer.ts'
import { type FileChange, NotPossible, textsAfter, writeAll } from '../new/file-change.ts'

const EXIT_USAGE = 64

/** Exit codes: 0 files were written · 1 not possible, nothing was written · 64 wrong arguments. */
export async function newCommand([kind, queue, option, consumer, ...rest]: string[]): Promise<number> {
  if (
    kind !== 'command' ||
    queue === undefined ||
    option !== '--consumer' ||
    consumer === undefined ||
    rest.length > 0
  ) {
    process.stderr.write('usage: npm run new -- command QUEUE --consumer CONSUMER\n')
    process.stderr.write('for example: npm run new -- command adjust_quantity --consumer consumer_five\n')
    return EXIT_USAGE
  }
  const changes = newConsumer(ROOT, queue, consumer)
  const texts = new Map([...textsAfter(ROOT, changes)].map(([file, text]) => [file, formatted(file, text)]))
  writeAll(ROOT, texts)
  process.stdout.write(report(changes, queue, consumer))
  return 0
}

/** Sorts imports and formats code like `npm run format`. */
function formatted(file: string, text: string): string {
  if (!file.endsWith('.ts')) return text
  const biome = join(ROOT, 'node_modules', '.bin', 'biome')
  const { status, stdout, stderr } = spawnSync(biome, ['check', '--write', `--stdin-file-path=${file}`], {
    cwd: ROOT,
    input: text,
    encoding: 'utf8',
  })
  if (status !== 0) throw new NotPossible(`${file} would not be valid:\n${stderr}`)
  return stdout
}

function report(changes: readonly FileChange[], queue: string, consumer: string): string {
  const files = [...new Set(changes.map(({ file }) => file))]
  const added = new Set(changes.filter(({ from }) => from === undefined).map(({ file }) => file))
  const dashed = queue.replaceAll('_', '-')
  return [
    ...files.map((file) => `${added.has(file) ? 'added  ' : 'changed'} ${file}`),
    '',
    'Left for you to write:',
    `- messaging/src/contracts.ts: the body and the result of ${queue}`,
    `- ${consumer}/src/${dashed}.ts: the handling of a message, and its test in ${consumer}/test`,
    '- its purpose in a few words: in the picture and the table of README.md, and in the first lines of the new files in kubernetes/',
    '- a route in producer/src/routes, if HTTP clients send it (with producer/src/openapi.json and docs/api.md)',
    '- dockercompose/observability/alertmanager/alertmanager.yml: a rule that inhibits the alerts about its queue while it is down',
    '- if it needs MySQL: `tables` in accounts/src/suite.ts; `npm run check` then names the missing lines',
    '',
    'Then: npx node acceptance/test/documents/asyncapi-page.ts, and npm run check',
    '',
  ].join('\n')
}
