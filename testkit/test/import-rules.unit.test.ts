// Which workspace may import which. Each forbidden import is planted in a copy of the tree, and the linter must report it.
import { execFileSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { z } from 'zod'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const RESTRICTED = 'lint/style/noRestrictedImports'
const GLOBAL = 'lint/style/noRestrictedGlobals'
const PLUGIN = 'plugin'
const UNDECLARED = 'lint/correctness/noUndeclaredDependencies'
const CYCLE = 'lint/suspicious/noImportCycles'

interface Planted {
  readonly what: string
  /** Text by path. The linter must report the first file. */
  readonly files: Readonly<Record<string, string>>
  readonly rule: string
}

const bad: readonly Planted[] = [
  one('a service another service, by name', 'producer/src/bad.ts', imports('consumer_one'), RESTRICTED),
  one(
    'a service a file of another, by name',
    'producer/src/bad-file.ts',
    imports('consumer_one/src/main.ts'),
    RESTRICTED,
  ),
  one('a service another, by path', 'consumer_one/src/bad.ts', imports('../../consumer_two/src/main.ts'), RESTRICTED),
  one(
    'a folder deeper, by path',
    'producer/src/routes/bad.ts',
    imports('../../../consumer_two/src/main.ts'),
    RESTRICTED,
  ),
  one('a service another, late', 'consumer_one/src/late.ts', "export const x = import('consumer_two')\n", RESTRICTED),
  one(
    'a test of a service another service',
    'producer/test/bad.ts',
    imports('../../consumer_one/src/main.ts'),
    RESTRICTED,
  ),
  one('a service a library by path', 'consumer_one/src/path.ts', imports('../../messaging/src/index.ts'), RESTRICTED),
  one(
    'messaging a timer without a scope',
    'messaging/src/timer.ts',
    'export const x = setTimeout(() => {}, 1)\n',
    GLOBAL,
  ),
  one('messaging a date without a scope', 'messaging/src/date.ts', 'export const x = Date.now()\n', PLUGIN),
  one('messaging chance without a scope', 'messaging/src/chance.ts', 'export const x = Math.random()\n', PLUGIN),
  one('messaging timers by import', 'messaging/src/timers.ts', imports('node:timers/promises'), RESTRICTED),
  one('a library a service, by name', 'messaging/src/bad.ts', imports('producer'), RESTRICTED),
  one('a library a service, by path', 'runtime/src/bad.ts', imports('../../producer/src/main.ts'), RESTRICTED),
  one('messaging runtime', 'messaging/src/bad-runtime.ts', imports('@ims/runtime'), RESTRICTED),
  one('messaging repository', 'messaging/src/bad-repository.ts', imports('@ims/repository'), RESTRICTED),
  one('runtime messaging', 'runtime/src/bad-messaging.ts', imports('@ims/messaging/testing'), RESTRICTED),
  one('repository messaging, by path', 'repository/src/bad.ts', imports('../../messaging/src/index.ts'), RESTRICTED),
  one('repository runtime', 'repository/src/bad-runtime.ts', imports('@ims/runtime'), RESTRICTED),
  one('the producer repository', 'producer/src/bad-repository.ts', imports('@ims/repository'), RESTRICTED),
  one('a consumer express', 'consumer_four/src/bad.ts', imports('express'), RESTRICTED),
  one('the producer amqplib', 'producer/src/bad-amqp.ts', imports('amqplib'), RESTRICTED),
  one('repository amqplib', 'repository/src/bad-amqp.ts', imports('amqplib/callback_api'), RESTRICTED),
  one('up amqplib', 'up/src/bad-amqp.ts', imports('amqplib'), RESTRICTED),
  one('messaging typeorm', 'messaging/src/bad-typeorm.ts', imports('typeorm'), RESTRICTED),
  one('a consumer mysql2', 'consumer_two/src/bad-mysql.ts', imports('mysql2/promise'), RESTRICTED),
  one('a service testkit', 'consumer_two/src/bad-testkit.ts', imports('testkit'), RESTRICTED),
  one('messaging node:process', 'messaging/src/bad-process.ts', imports('node:process'), RESTRICTED),
  one('the producer process', 'producer/src/bad-process.ts', imports('process'), RESTRICTED),
  one('the global process in a service', 'producer/src/bad-global.ts', 'export const x = process.env.A\n', GLOBAL),
  one('the global process in a library', 'repository/src/bad-global.ts', 'export const x = process.pid\n', GLOBAL),
  one('what package.json does not name', 'consumer_one/src/undeclared.ts', imports('@ims/repository'), UNDECLARED),
  {
    what: 'two files each other',
    files: {
      'runtime/src/cycle-a.ts': "import { b } from './cycle-b.ts'\nexport const a = () => b\n",
      'runtime/src/cycle-b.ts': "import { a } from './cycle-a.ts'\nexport const b = () => a\n",
    },
    rule: CYCLE,
  },
  {
    what: 'two packages each other, the one through the link of its workspace',
    files: {
      'consumer_two/src/cycle.ts': "import { b } from '@ims/repository/entry'\n\nexport const a = () => b\n",
      'repository/src/cycle.ts': "import { a } from '../../consumer_two/src/cycle.ts'\n\nexport const b = () => a\n",
    },
    rule: CYCLE,
  },
]

const good: readonly Planted[] = [
  one('a service a library', 'consumer_two/src/good.ts', imports('@ims/repository'), RESTRICTED),
  one('the producer express', 'producer/src/good.ts', imports('express'), RESTRICTED),
  one('messaging amqplib', 'messaging/src/good.ts', imports('amqplib'), RESTRICTED),
  one('repository typeorm', 'repository/src/good.ts', imports('typeorm'), RESTRICTED),
  one('a test of messaging amqplib', 'messaging/test/good.ts', imports('amqplib'), RESTRICTED),
  one('runtime process', 'runtime/src/good.ts', 'export const x = process.pid\n', GLOBAL),
  one('benchmark mysql2', 'benchmark/src/good.ts', imports('mysql2/promise'), RESTRICTED),
]

let tree: string
let reported: ReadonlySet<string>
beforeAll(() => {
  tree = copyOfTree()
  for (const { files } of [...bad, ...good]) {
    for (const [path, text] of Object.entries(files)) plant(path, text)
  }
  // An export of repository that leads to a planted file, as its real exports lead to real files.
  writeFileSync(
    join(tree, 'repository', 'package.json'),
    JSON.stringify({ name: '@ims/repository', type: 'module', exports: { './entry': './src/cycle.ts' } }),
  )
  reported = lint()
})
afterAll(() => rmSync(tree, { recursive: true, force: true }))

describe('the linter', () => {
  it.each(bad)('reports: $what', ({ files, rule }) => {
    expect(reported).toContain(`${Object.keys(files)[0]} ${rule}`)
  })

  it.each(good)('allows: $what', ({ files, rule }) => {
    expect(reported).not.toContain(`${Object.keys(files)[0]} ${rule}`)
  })
})

function one(what: string, path: string, text: string, rule: string): Planted {
  return { what, files: { [path]: text }, rule }
}

function imports(specifier: string): string {
  return `import * as x from '${specifier}'\n\nexport const y = x\n`
}

/** The configuration, and the package.json of every workspace with links to them, as in the real tree. No other files. */
function copyOfTree(): string {
  const copy = mkdtempSync(join(tmpdir(), 'ims-imports-'))
  for (const name of ['biome.json', 'waits.grit', 'package.json', '.gitignore'])
    copyFileSync(join(ROOT, name), join(copy, name))
  const links = join(copy, 'node_modules', '@ims')
  mkdirSync(links, { recursive: true })
  for (const name of readdirSync(ROOT)) {
    if (!existsSync(join(ROOT, name, 'package.json'))) continue
    mkdirSync(join(copy, name, 'src'), { recursive: true })
    copyFileSync(join(ROOT, name, 'package.json'), join(copy, name, 'package.json'))
    writeFileSync(join(copy, name, 'src', 'main.ts'), 'export const main = 1\n')
    symlinkSync(join('..', '..', name), join(links, name))
  }
  return copy
}

function plant(path: string, text: string): void {
  mkdirSync(dirname(join(tree, path)), { recursive: true })
  writeFileSync(join(tree, path), text)
}

/** What the linter reports, as `path rule`. */
function lint(): Set<string> {
  const report = z.object({
    diagnostics: z.array(z.object({ category: z.string(), location: z.object({ path: z.string() }) })),
  })
  const biome = join(ROOT, 'node_modules', '.bin', 'biome')
  const args = ['lint', '--reporter=json', '--max-diagnostics=none', '.']
  let output = ''
  try {
    output = execFileSync(biome, args, { cwd: tree, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  } catch (error) {
    // It fails, as expected. Its findings are on standard output.
    output = z.object({ stdout: z.string() }).parse(error).stdout
  }
  const { diagnostics } = report.parse(JSON.parse(output))
  return new Set(diagnostics.map(({ category, location }) => `${location.path} ${category}`))
}
