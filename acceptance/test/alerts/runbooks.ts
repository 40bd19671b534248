// The pages of docs/operations, and the first commands of each.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '../stack.ts'

export const DIRECTORY = 'docs/operations'
const PLATFORMS = ['compose', 'Kubernetes', 'local']

/** The pages, each with its file name and text. */
export const pages = readdirSync(join(ROOT, DIRECTORY)).map(
  (name) => [name, readFileSync(join(ROOT, DIRECTORY, name), 'utf8')] as const,
)

/** The rows of a page's table of first commands. A row has one command for each platform. */
export function rowsOf(text: string): string[][] {
  const table = /^\| \| compose \| Kubernetes \| local \|\n\|---\|---\|---\|---\|\n((?:\|.*\n)+)/m.exec(text)?.[1] ?? ''
  return table
    .trimEnd()
    .split('\n')
    .map((row) =>
      row
        .split(' | ')
        .slice(1)
        .map((cell) => cell.replace(/^`|`(?: \|)?$/g, '')),
    )
}

/** The first commands, each with its platform and its page. */
export const commands = pages.flatMap(([page, text]) =>
  page === 'README.md'
    ? []
    : rowsOf(text).flatMap((row) => row.map((command, n) => [PLATFORMS[n] ?? '', command, page] as const)),
)
