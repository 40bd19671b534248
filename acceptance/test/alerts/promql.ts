// Finds the names in a PromQL query. Supports only the grammar that our dashboard and alerts use.

const KEYWORDS = new Set(['and', 'or', 'unless', 'bool', 'offset'])
/** Clauses such as `by (a, b)`, whose parentheses contain labels. */
const GROUPING = /\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)/g
const MATCHER = /([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"/g

/** The metrics that `query` reads, each once. */
export function metricsIn(query: string): string[] {
  const bare = query
    .replaceAll(/\{[^}]*\}/g, ' ')
    .replaceAll(/\[[^\]]*\]/g, ' ')
    .replaceAll(/\boffset\s+\S+/g, ' ')
    .replaceAll(GROUPING, ' ')
  const names = [...bare.matchAll(/[a-zA-Z_:][\w:]*(?!\w|\s*\()/g)].map(([name]) => name)
  return [...new Set(names.filter((name) => !KEYWORDS.has(name)))]
}

/** The labels that `query` selects or groups by, each once. */
export function labelsIn(query: string): string[] {
  const grouped = [...query.matchAll(GROUPING)].flatMap(([, list = '']) => list.split(','))
  const matched = [...query.matchAll(MATCHER)].map(([, label = '']) => label)
  return [...new Set([...grouped, ...matched].map((label) => label.trim()).filter((label) => label !== ''))]
}

/** The values or patterns by which `query` selects `label`. */
export function selectorsIn(query: string, label: string): string[] {
  return [...query.matchAll(MATCHER)].filter(([, name]) => name === label).map(([, , value = '']) => value)
}
