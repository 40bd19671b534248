// The import rules between workspaces. Each forbidden import is written to a copy of the tree, and the linter must report it.
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
  /** Texts by path. The linter must report the first file. */
  readonly files: Readonly<Record<string, string>>
  readonly rule: string
}

const bad: readonly Planted[] = [
  one('a service imports another service by name', 'producer/src/bad.ts', imports('consumer_one'), RESTRICTED),
  one(
    'a service imports a file of another service by name',
    'producer/src/bad-file.ts',
    imports('consumer_one/src/main.ts'),
    RESTRICTED,
  ),
  one(
    'a service imports another service by path',
    'consumer_one/src/bad.ts',
    imports('../../consumer_two/src/main.ts'),
    RESTRICTED,
  ),
  one(
    'a subfolder of a service imports another service by path',
    'producer/src/routes/bad.ts',
    imports('../../../consumer_two/src/main.ts'),
    RESTRICTED,
  ),
  one(
    'a service imports another service dynamically',
    'consumer_one/src/late.ts',
    "export const x = import('consumer_two')\n",
    RESTRICTED,
  ),
  one(
    'a test of a service imports another service',
    'producer/test/bad.ts',
    imports('../../consumer_one/src/main.ts'),
    RESTRICTED,
  ),
  one(
    'a service imports a library by path',
    'consumer_one/src/path.ts',
    imports('../../messaging/src/index.ts'),
    RESTRICTED,
  ),
  one(
    'messaging uses a timer without a scope',
    'messaging/src/timer.ts',
    'export const x = setTimeout(() => {}, 1)\n',
    GLOBAL,
  ),
  one('messaging reads the time without a scope', 'messaging/src/date.ts', 'export const x = Date.now()\n', PLUGIN),
  one(
    'messaging uses a random number without a scope',
    'messaging/src/chance.ts',
    'export const x = Math.random()\n',
    PLUGIN,
  ),
  one('messaging imports node:timers/promises', 'messaging/src/timers.ts', imports('node:timers/promises'), RESTRICTED),
  one('a library imports a service by name', 'messaging/src/bad.ts', imports('producer'), RESTRICTED),
  one('a library imports a service by path', 'runtime/src/bad.ts', imports('../../producer/src/main.ts'), RESTRICTED),
  one('messaging imports runtime', 'messaging/src/bad-runtime.ts', imports('@ims/runtime'), RESTRICTED),
  one('messaging imports repository', 'messaging/src/bad-repository.ts', imports('@ims/repository'), RESTRICTED),
  one('runtime imports messaging', 'runtime/src/bad-messaging.ts', imports('@ims/messaging/testing'), RESTRICTED),
  one(
    'repository imports messaging by path',
    'repository/src/bad.ts',
    imports('../../messaging/src/index.ts'),
    RESTRICTED,
  ),
  one('repository imports runtime', 'repository/src/bad-runtime.ts', imports('@ims/runtime'), RESTRICTED),
  one('the producer imports repository', 'producer/src/bad-repository.ts', imports('@ims/repository'), RESTRICTED),
  one('a consumer imports express', 'consumer_four/src/bad.ts', imports('express'), RESTRICTED),
  one('the producer imports amqplib', 'producer/src/bad-amqp.ts', imports('amqplib'), RESTRICTED),
  one('repository imports amqplib', 'repository/src/bad-amqp.ts', imports('amqplib/callback_api'), RESTRICTED),
  one('up imports amqplib', 'up/src/bad-amqp.ts', imports('amqplib'), RESTRICTED),
  one('messaging imports typeorm', 'messaging/src/bad-typeorm.ts', imports('typeorm'), RESTRICTED),
  one('a consumer imports mysql2', 'consumer_two/src/bad-mysql.ts', imports('mysql2/promise'), RESTRICTED),
  one('a service imports testkit', 'consumer_two/src/bad-testkit.ts', imports('testkit'), RESTRICTED),
  one('messaging imports node:process', 'messaging/src/bad-process.ts', imports('node:process'), RESTRICTED),
  one('the producer imports process', 'producer/src/bad-process.ts', imports('process'), RESTRICTED),
  one('a service uses the global process', 'producer/src/bad-global.ts', 'export const x = process.env.A\n', GLOBAL),
  one('a library uses the global process', 'repository/src/bad-global.ts', 'export const x = process.pid\n', GLOBAL),
  one(
    'a service imports a package that its package.json does not name',
    'consumer_one/src/undeclared.ts',
    imports('@ims/repository'),
    UNDECLARED,
  ),
  {
    what: 'two files import each other',
    files: {
      'runtime/src/cycle-a.ts': "import { b } from './cycle-b.ts'\nexport const a = () => b\n",
      'runtime/src/cycle-b.ts': "import { a } from './cycle-a.ts'\nexport const b = () => a\n",
    },
    rule: CYCLE,
  },
  {
    what: 'two packages import each other, one of them through a workspace link',
    files: {
      'consumer_two/src/cycle.ts': "import { b } from '@ims/repository/entry'\n\nexport const a = () => b\n",
      'repository/src/cycle.ts': "import { a } from '../../consumer_two/src/cycle.ts'\n\nexport const b = () => a\n",
    },
    rule: CYCLE,
  },
]

const good: readonly Planted[] = [
  one('a service imports a library', 'consumer_two/src/good.ts', imports('@ims/repository'), RESTRICTED),
  one('the producer imports express', 'producer/src/good.ts', imports('express'), RESTRICTED),
  one('messaging imports amqplib', 'messaging/src/good.ts', imports('amqplib'), RESTRICTED),
  one('repository imports typeorm', 'repository/src/good.ts', imports('typeorm'), RESTRICTED),
  one('a test of messaging imports amqplib', 'messaging/test/good.ts', imports('amqplib'), RESTRICTED),
  one('runtime uses the global process', 'runtime/src/good.ts', 'export const x = process.pid\n', GLOBAL),
  one('benchmark imports mysql2', 'benchmark/src/good.ts', imports('mysql2/promise'), RESTRICTED),
]

let tree: string
let reported: ReadonlySet<string>
beforeAll(() => {
  tree = copyOfTree()
  for (const { files } of [...bad, ...good]) {
    for (const [path, text] of Object.entries(files)) plant(path, text)
  }
  // Exports one of the written files from repository.
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

/** A copy of the linter's configuration, and of the package.json of each workspace, with links between the workspaces. */
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

/** The findings of the linter, as `path rule`. */
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
    // The linter exits with an error because it has findings. They are on standard output.
    output = z.object({ stdout: z.string() }).parse(error).stdout
  }
  const { diagnostics } = report.parse(JSON.parse(output))
  return new Set(diagnostics.map(({ category, location }) => `${location.path} ${category}`))
}
