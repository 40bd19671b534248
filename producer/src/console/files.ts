// Loads the files of the console at start: adds a hash to each name, rewrites the imports, and compresses each file. There is no build step.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync, gzipSync } from 'node:zlib'

const PAGE = fileURLToPath(new URL('./page/', import.meta.url))
const OPENAPI = fileURLToPath(new URL('../openapi.json', import.meta.url))

/** Where the console's files are served. */
export const CONSOLE_FILES = '/console/'
const HASH_CHARACTERS = 12

const require = createRequire(import.meta.url)
/** The path of `file` in the directory of the package's CommonJS entry. */
const beside = (name: string, file: string): string => join(dirname(require.resolve(name)), file)

/** ES modules and styles of packages, by the names that our modules and pages use for them. */
const PACKAGES: Readonly<Record<string, () => string>> = {
  preact: () => beside('preact', 'preact.module.js'),
  'preact/hooks': () => beside('preact/hooks', 'hooks.module.js'),
  htm: () => beside('htm', 'htm.module.js'),
  uplot: () => beside('uplot', 'uPlot.esm.js'),
  'uplot.css': () => beside('uplot', 'uPlot.min.css'),
}

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
}

/** A file in each encoding, and its strong ETag without quotation marks. */
export interface ConsoleFile {
  readonly type: string
  readonly tag: string
  readonly identity: Buffer
  readonly br: Buffer
  readonly gzip: Buffer
}

export interface ConsoleFiles {
  /** `/`, for browsers. */
  readonly console: ConsoleFile
  /** `/docs`. */
  readonly documentation: ConsoleFile
  /** `/openapi.json`. */
  readonly openapi: ConsoleFile
  /** The files that the pages load, by path. Each name contains a hash of the content. */
  readonly hashed: ReadonlyMap<string, ConsoleFile>
}

const IMPORT = /\b(from|import)(\s*\(?)\s*(["'])([\w./-]+)\3/g
const LOADED = /\b(src|href)="([\w-]+\.(?:js|css))"/g

/** Reads all files. Throws if one is missing or imports a file that is not served. */
export function readConsole(): ConsoleFiles {
  const hashed = new Map<string, ConsoleFile>()
  const pathOf = new Map<string, string>()
  /** Modules that a page loads by `import()` when it needs them. */
  const later = new Set<string>()

  /** Adds a file and everything that it imports. Returns the path that serves the file. */
  const add = (file: string): string => {
    const known = pathOf.get(file)
    if (known !== undefined) return known
    // Source maps of packages are not served.
    const source = readFileSync(file, 'utf8').replace(/\n\/\/# sourceMappingURL=.*\s*$/, '\n')
    const text = extname(file) === '.js' ? source.replace(IMPORT, importing(file)) : source
    const name = file
      .slice(Math.max(file.lastIndexOf('/'), file.lastIndexOf('\\')) + 1)
      .replace(/\.(module|esm|min)\./, '.')
    const type = extname(name)
    const made = fileOf(type, text)
    const path = `${CONSOLE_FILES}${name.slice(0, -type.length)}-${made.tag}${type}`
    pathOf.set(file, path)
    hashed.set(path, made)
    return path
  }
  const importing = (file: string) => (_: string, word: string, opening: string, quote: string, wanted: string) => {
    const target = wanted.startsWith('.') ? join(dirname(file), wanted) : PACKAGES[wanted]?.()
    if (target === undefined) throw new Error(`${file} imports ${wanted}, which the console does not serve`)
    const before = new Set(hashed.keys())
    const path = add(target)
    if (opening.endsWith('(')) for (const each of hashed.keys()) if (!before.has(each)) later.add(each)
    return `${word}${opening}${quote}${path}${quote}`
  }
  /** Reads a page and adds the files that it loads. Preload links make the browser load its modules in parallel. */
  const page = (name: string): ConsoleFile => {
    const before = new Set(hashed.keys())
    const html = readFileSync(join(PAGE, name), 'utf8').replace(
      LOADED,
      (_, attribute: string, file: string) => `${attribute}="${add(PACKAGES[file]?.() ?? join(PAGE, file))}"`,
    )
    const modules = [...hashed.keys()].filter(
      (path) => path.endsWith('.js') && !later.has(path) && (!before.has(path) || isShared(path)),
    )
    const links = modules.map((path) => `<link rel="modulepreload" href="${path}">`).join('\n')
    return fileOf('.html', html.replace('</head>', `${links}\n</head>`))
  }
  const isShared = (path: string) => /\/(preact|hooks|htm|html)-/.test(path)

  const console = page('index.html')
  const documentation = page('docs.html')
  return { console, documentation, openapi: fileOf('.json', readFileSync(OPENAPI, 'utf8')), hashed }
}

function fileOf(type: string, text: string): ConsoleFile {
  const identity = Buffer.from(text)
  const tag = createHash('sha256').update(identity).digest('hex').slice(0, HASH_CHARACTERS)
  return {
    type: TYPES[type] ?? 'application/octet-stream',
    tag,
    identity,
    br: brotliCompressSync(identity),
    gzip: gzipSync(identity, { level: 9 }),
  }
}
