// Copies the lines and paragraphs about one service with the names replaced, so that no template can become outdated.
import type { FileChange } from './file-change.ts'

export interface CopiedService {
  /** The service whose lines are copied. */
  readonly of: string
  /** The service after whose lines the copies are inserted. */
  readonly after: string
  /** Converts text about the copied service to text about the new one. */
  rename(text: string): string
}

/** The name of a service, and its name on Kubernetes, which allows no underscore. */
export const namesOf = (service: string): readonly [string, string] => [service, service.replaceAll('_', '-')]

/**
 * Copies the text about the service `of` and inserts each copy after the equivalent text about `after`. Copies whole
 * paragraphs or, where no equivalent paragraph exists, the consecutive lines that name the service. Text without any
 * equivalent about `after` is not copied. Paragraphs end with an empty line or with `---`.
 */
export function copiedLines(file: string, text: string, { of, after, rename }: CopiedService): FileChange[] {
  const paragraphs = text.split(/^(?:---)?\n/m)
  const asAfter = (part: string) => renamed(part, of, after)
  return paragraphs.flatMap((paragraph) => {
    if (!names(paragraph, of)) return []
    const wanted = asAfter(paragraph)
    const [head = ''] = wanted.split('\n')
    const begins = (other: string) => names(firstLine(paragraph), of) && firstLine(other) === head
    const equivalent = paragraphs.find((other) => other !== paragraph && (other === wanted || begins(other)))
    if (equivalent === undefined)
      return runsOf(paragraph, of).flatMap((run) => afterRun(file, text, run, asAfter, rename))
    const separator = text.includes('\n---\n') ? '---\n' : '\n'
    const copy = rename(paragraph)
    return [
      {
        file,
        from: equivalent,
        to: `${equivalent.endsWith('\n') ? equivalent : `${equivalent}\n`}${separator}${copy}`,
      },
    ]
  })
}

/** Inserts `name` after `after` in each list on one line: `[a, b]`, `['a', 'b']`, `a & b`. */
export function inLists(file: string, text: string, after: string, name: string): FileChange[] {
  return text.split('\n').flatMap((line) => {
    const to = line.replace(new RegExp(`([,&] )(["']?)${after}\\2(?![\\w-])`), `$&$1$2${name}$2`)
    return to === line ? [] : [{ file, from: `${line}\n`, to: `${to}\n` }]
  })
}

function afterRun(
  file: string,
  text: string,
  run: readonly string[],
  asAfter: (line: string) => string,
  rename: (line: string) => string,
): FileChange[] {
  const lines = text.split('\n')
  const [first = ''] = run
  // In a table row, only the first cell must match.
  const keyOf = (line: string) => /^\| \S+/.exec(line)?.[0] ?? line
  const at = lines.findIndex((line) => keyOf(line) === asAfter(keyOf(first)))
  if (at === -1) return []
  const from = `${lines.slice(at, at + run.length).join('\n')}\n`
  return [{ file, from, to: `${from}${run.map(rename).join('\n')}\n` }]
}

/** Consecutive lines that name the service. */
function runsOf(paragraph: string, service: string): string[][] {
  const runs: string[][] = [[]]
  for (const line of paragraph.split('\n')) {
    if (names(line, service)) runs.at(-1)?.push(line)
    else if (runs.at(-1)?.length !== 0) runs.push([])
  }
  return runs.filter((run) => run.length > 0)
}

const firstLine = (text: string): string => text.split('\n')[0] ?? ''
const names = (text: string, service: string): boolean => namesOf(service).some((name) => text.includes(name))

/** The same text about another service. */
export function renamed(text: string, of: string, to: string): string {
  const others = namesOf(to)
  return namesOf(of).reduce((rest, name, index) => rest.replaceAll(name, others[index] ?? to), text)
}
