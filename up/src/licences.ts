// Lists the third-party packages in the images with their licences, from the lockfile alone.
import { serviceNames } from '@ims/accounts/suite'
import { z } from 'zod'

/** SPDX names of licences that allow distribution in an image and require only attribution. */
const ALLOWED: ReadonlySet<string> = new Set([
  '0BSD',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'BlueOak-1.0.0',
  'ISC',
  'MIT',
])

/** The workspaces that are deployed. Everything else in the repository is for development. */
const DEPLOYED: readonly string[] = [...serviceNames, 'accounts']

const names = z.record(z.string(), z.string()).default({})
const entry = z.object({
  version: z.string().optional(),
  license: z.string().optional(),
  link: z.boolean().default(false),
  resolved: z.string().optional(),
  dependencies: names,
  optionalDependencies: names,
  peerDependencies: names,
  dev: z.boolean().default(false),
})
const lockfile = z.object({ packages: z.record(z.string(), entry) })
type Packages = z.output<typeof lockfile>['packages']

/** One version of a third-party package. */
interface Shipped {
  readonly name: string
  readonly version: string
  readonly licence: string
}

/**
 * The licence page for the text of package-lock.json.
 * @throws Error that names every package whose licence is unknown or not allowed
 */
export function licencesPage(packageLock: string): string {
  const shipped = shippedBy(lockfile.parse(JSON.parse(packageLock)).packages)
  const refused = shipped.filter(({ licence }) => !isAllowed(licence))
  if (refused.length > 0) {
    const list = refused.map(({ name, version, licence }) => `${name} ${version} (${licence})`).join(', ')
    throw new Error(`these licences are not allowed (see up/src/licences.ts): ${list}`)
  }
  const counts = Object.entries(Object.groupBy(shipped, ({ licence }) => licence))
    .map(([licence, packages = []]) => `${licence} ${packages.length}`)
    .sort()
  return [
    '# Licences of the packages in the images',
    '',
    `${shipped.length} third-party npm packages, by licence: ${counts.join(' · ')}. The licence texts are in \`node_modules\` of the images.`,
    'The scan of the build lists the packages of the base images. `npm run licences` writes this page, and fails for any other licence.',
    '',
    '| package | version | licence |',
    '|---|---|---|',
    ...shipped.map(({ name, version, licence }) => `| ${name} | ${version} | ${licence} |`),
    '',
  ].join('\n')
}

/** True for an allowed licence, and for a choice with at least one allowed option, such as `(MIT OR GPL-2.0)`. */
function isAllowed(licence: string): boolean {
  const choices = licence.replaceAll(/[()]/g, '').split(' OR ')
  return choices.some((choice) => choice.split(' AND ').every((each) => ALLOWED.has(each)))
}

function shippedBy(packages: Packages): Shipped[] {
  const seen = new Set<string>()
  const open = DEPLOYED.map((folder) => {
    if (packages[folder] === undefined) throw new Error(`the lockfile has no workspace ${folder}`)
    return folder
  })
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    if (seen.has(path)) continue
    seen.add(path)
    open.push(...neededBy(path, packages))
  }
  const others = [...seen].filter((path) => path.includes('node_modules/')).map((path) => shippedAt(path, packages))
  // A package may be installed in several places.
  const once = new Map(others.map((each) => [`${each.name} ${each.version}`, each]))
  return [...once].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, each]) => each)
}

function shippedAt(path: string, packages: Packages): Shipped {
  const { version = '', license = 'unknown' } = packages[path] ?? {}
  return { name: path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length), version, licence: license }
}

/** The paths of the dependencies of the package at `path`, including installed optional and peer dependencies. */
function neededBy(path: string, packages: Packages): string[] {
  const { dependencies = {}, optionalDependencies = {}, peerDependencies = {} } = packages[path] ?? {}
  const required = Object.keys(dependencies).filter((name) => !(name in optionalDependencies))
  const found = required.map((name) => {
    const at = whereIs(name, path, packages)
    if (at === undefined) throw new Error(`the lockfile does not have ${name}, which ${path} needs`)
    return at
  })
  const optional = Object.keys({ ...optionalDependencies, ...peerDependencies })
    .map((name) => whereIs(name, path, packages))
    .filter((at) => at !== undefined && packages[at]?.dev === false)
  return [...found, ...optional.filter((at) => at !== undefined)]
}

/** Finds the path of a package as Node does: the nearest node_modules first. A link points to a workspace. */
function whereIs(name: string, from: string, packages: Packages): string | undefined {
  const places = foldersUp(from).map((folder) => `${folder}node_modules/${name}`)
  const at = places.find((place) => packages[place] !== undefined)
  return at !== undefined && packages[at]?.link ? packages[at].resolved : at
}

/**
 * The folders whose `node_modules` Node searches, nearest first. For `a/node_modules/b`: `a/node_modules/b/`, `a/` and the root
 * (an empty string).
 */
function foldersUp(path: string): string[] {
  const parts = path.split('/node_modules/')
  const folders = parts.map((_, index) => `${parts.slice(0, parts.length - index).join('/node_modules/')}/`)
  return [...folders.filter((folder) => folder !== 'node_modules/'), '']
}
