// The result as one HTML file: the table, and a bar chart for each row. It has no script and loads nothing.
import { median, OURS, type Row } from './measured.ts'
import type { Result } from './result.ts'
import { cell, comparisons } from './table.ts'

const WIDTH = 640
const NAME_WIDTH = 190
const VALUE_WIDTH = 130
const BAR_HEIGHT = 16
const LINE_HEIGHT = 24

const STYLE = `
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #1d2330; }
h2 { margin-top: 2.5rem; }
figure { margin: 1rem 0 1.5rem; }
figcaption { font-weight: 600; }
table { border-collapse: collapse; font-size: 13px; }
td, th { border-bottom: 1px solid #d8dce5; padding: .3rem .6rem; text-align: left; vertical-align: top; }
.no { color: #a3302b; font-weight: 600; } .yes { color: #1c6b3f; }
svg text { font: 12px system-ui, sans-serif; fill: #1d2330; }
.ours { fill: #2f6fde; } .theirs { fill: #a9b3c6; } .range { stroke: #1d2330; stroke-width: 1.5; }
`

/** Renders the page. With `before`, a column shows the ratios of that earlier result. */
export function page(result: Result, before?: Result): string {
  const scenarios = [...new Set(result.rows.map(({ scenario }) => scenario))]
  const versions = Object.entries(result.versions).map(([name, version]) => `${name} ${version}`)
  const load = result.load.map((each) => each.toFixed(1)).join(' to ')
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Benchmark ${text(result.startedAt)}</title>
<style>${STYLE}</style>
<h1>Benchmark</h1>
<p>${text(result.command)} at commit ${text(result.commit)}, ${text(result.startedAt)}.
${result.isQuick ? '<strong>A quick run: its figures mean nothing.</strong>' : `Medians of ${result.rounds} alternating rounds. A line shows the lowest and the highest figure.`}</p>
<p>${text(result.machine)}. ${text(versions.join(', '))}. Load average ${load}.${before ? ` Compared with ${text(before.startedAt)}, commit ${text(before.commit)}.` : ''}</p>
${tableOf(result, before)}
${scenarios.map((scenario) => `<h2>${text(scenario)}</h2>\n${plots(result.rows, scenario)}`).join('\n')}
</html>
`
}

function tableOf({ rows }: Result, before: Result | undefined): string {
  const heads = [
    'what',
    'ours',
    'against',
    'theirs',
    'ratio',
    'by CPU',
    ...(before ? ['ratio before'] : []),
    'goal',
    'met',
  ]
  const lines = rows
    .flatMap((row) => comparisons(row, before?.rows))
    .map((each) => {
      const cells = [
        each.what,
        each.ours,
        each.against,
        each.theirs,
        each.ratio,
        each.byCpu,
        ...(before ? [each.before] : []),
      ]
      const plain = [...cells, each.goal].map((cell) => `<td>${text(cell)}</td>`).join('')
      return `<tr>${plain}<td class="${each.met}">${each.met}</td></tr>`
    })
  return `<table>\n<tr>${heads.map((head) => `<th>${head}</th>`).join('')}</tr>\n${lines.join('\n')}\n</table>`
}

const plots = (rows: readonly Row[], scenario: string): string =>
  rows
    .filter((row) => row.scenario === scenario)
    .map((row) => `<figure><figcaption>${text(`${row.what} (${row.unit})`)}</figcaption>${plot(row)}</figure>`)
    .join('\n')

/** A bar for each contestant. */
function plot(row: Row): string {
  const all = Object.entries(row.figures).filter(([, figures]) => figures.length > 0)
  const max = Math.max(...all.flatMap(([, figures]) => figures), Number.MIN_VALUE)
  const at = (figure: number) => (NAME_WIDTH + (figure / max) * (WIDTH - NAME_WIDTH - VALUE_WIDTH)).toFixed(1)
  const bars = all.map(([name, figures], index) => {
    const top = index * LINE_HEIGHT
    const middle = top + BAR_HEIGHT / 2
    const width = (Number(at(median(figures))) - NAME_WIDTH).toFixed(1)
    const [low, high] = [at(Math.min(...figures)), at(Math.max(...figures))]
    return `<text x="${NAME_WIDTH - 8}" y="${middle + 4}" text-anchor="end">${text(name)}</text>
<rect class="${name === OURS ? 'ours' : 'theirs'}" x="${NAME_WIDTH}" y="${top}" width="${width}" height="${BAR_HEIGHT}"/>
<line class="range" x1="${low}" x2="${high}" y1="${middle}" y2="${middle}"/>
<text x="${Number(high) + 8}" y="${middle + 4}">${text(cell(row, name).split(' ')[0] ?? '')}</text>`
  })
  const height = all.length * LINE_HEIGHT
  return `<svg viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">\n${bars.join('\n')}\n</svg>`
}

const text = (raw: string): string =>
  raw.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
