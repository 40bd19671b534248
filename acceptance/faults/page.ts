// Renders the record of a run as one HTML file. Its content security policy allows only its own script and style.
import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { RunRecord } from './record.ts'

const part = (name: string) => readFileSync(new URL(`page/${name}`, import.meta.url), 'utf8')
const sourceOf = (text: string) => `'sha256-${hash('sha256', text, 'base64')}'`
/** Escapes `<`, which could end the script element or begin a comment in it. Rounds numbers, which are times in milliseconds. */
const inScript = (value: unknown) =>
  JSON.stringify(value, (_, each) => (typeof each === 'number' ? Math.round(each) : each)).replaceAll('<', '\\u003c')

/** Returns the page as HTML. */
export function page(record: RunRecord): string {
  const [script, style] = [part('report.js'), part('report.css')]
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src ${sourceOf(script)}; style-src ${sourceOf(style)}">
<meta name="viewport" content="width=device-width">
<title>Faults, seed ${record.seed}</title>
<style>${style}</style>
<main>
<h1>Fault ledger, seed ${record.seed}: <span id="verdict"></span></h1>
<dl id="facts"></dl>
<ol id="violations" class="scroll" tabindex="0" aria-label="Violations"></ol>
<h2>Time line</h2>
<p>Click a fault to zoom to it. Click a call to see the history of its message. Drag to zoom in.</p>
<div id="zoom"><span id="shown"></span></div>
<p class="key">${key('fault', 'fault, or call with a violation')}${key('fault vain', 'without effect')}${key('accepted', 'accepted')}${key('refused', 'refused, or recovery')}${key('unanswered', 'no response')}${key('decided', 'applied or refused by a consumer')}</p>
<div id="time-line"></div>
<section id="history" aria-live="polite" hidden></section>
<h2>Messages</h2>
<p><label>Search <input id="word" type="search" placeholder="sku, id or name"></label> <label>Show <select id="filter"></select></label> <span id="count"></span></p>
<ol id="messages" class="scroll" tabindex="0" aria-label="Messages"></ol>
<h2>Faults and recovery</h2>
<p>Recovery is the time from the end of the last fault of a round until all services are ready and an item has been created.</p>
<div class="columns">
<div class="scroll" tabindex="0" role="region" aria-label="Rounds"><table>
<thead><tr><th scope="col">At</th><th scope="col">Faults</th><th scope="col">Recovery</th></tr></thead>
<tbody id="rounds"></tbody>
</table></div>
<div class="scroll" tabindex="0" role="region" aria-label="Kinds"><table>
<thead><tr><th scope="col">Kind</th><th scope="col">Injected</th><th scope="col">With effect</th><th scope="col">Recovery p50</th><th scope="col">max</th></tr></thead>
<tbody id="kinds"></tbody>
</table></div>
</div>
</main>
<script type="application/json" id="record">${inScript(record)}</script>
<script>${script}</script>
</html>
`
}

const key = (name: string, text: string): string =>
  `<span><svg width="14" height="10" aria-hidden="true">${name === 'decided' ? '<polyline points="0,5 14,5" class="decided"/>' : `<rect width="14" height="10" class="${name}"/>`}</svg> ${text}</span>`
