// The tab Dead letters, for keys with the scope admin: shows dead letters by reason, and redrives or discards a selection.
import { useEffect, useState } from 'preact/hooks'
import { call } from './api.js'
import { html } from './html.js'
import { Dialog, Empty, Failed, Field, Loading, useSuite } from './parts.js'

const PAGE = 1_000
/** Maximum number of ids in one request. */
const IDS_MAX = 1_000
const MAX = 10_000
const WAIT_S = 15

/** The meaning of each reason, and the action to take. Also in docs/dead-letters.md. */
const REASONS = {
  'not-json': ['The body is not JSON.', 'Redrive it only after the schema has changed.'],
  invalid: ['The body does not match the schema.', 'Redrive it only after the schema has changed.'],
  'too-large': ['The message is larger than its consumer accepts.', 'Redrive it after the limit was raised.'],
  'duplicate-sku': [
    'Another item has this sku.',
    'If the message has the right item, delete the other item, then redrive the message.',
  ],
  'rejected-by-database': ['MySQL rejected the row.', 'Redrive it after the schema was migrated.'],
  'message-id-reused': [
    'Another message used this id before.',
    'Do not redrive it. The sender must send it again under a new id.',
  ],
  'handler-failed': [
    'It failed three times while other messages succeeded. This is probably a bug.',
    'Redrive it after the fix is deployed.',
  ],
  delivery_limit: [
    'It was redelivered too often. It probably crashes its consumer.',
    'After the fix is deployed, redrive one message first.',
  ],
  rejected: ['Another consumer rejected it, so the broker dead-lettered it.', 'Redrive it when you know the cause.'],
  expired: ['It expired, so the broker dead-lettered it.', 'Redrive it when you know the cause.'],
  maxlen: ['Its queue was full, so the broker dead-lettered it.', 'Redrive it when you know the cause.'],
  unknown: ['It has no reason, because another program published it.', 'Check its content first.'],
}
const OTHER = ['Its consumer refused it for this reason.', 'Read its error, remove the cause, then redrive it.']

export function DeadLetters() {
  const { epoch } = useSuite()
  const [summary, setSummary] = useState(undefined)
  const [group, setGroup] = useState(undefined)
  const load = async () => {
    setSummary(undefined)
    setSummary(await call('/dead_letters'))
  }
  useEffect(() => {
    load()
  }, [epoch])
  const groups = (summary?.body?.queues ?? []).flatMap(({ queue, reasons }) =>
    Object.entries(reasons).map(([reason, count]) => ({ queue, reason, count })),
  )
  return html`<section aria-labelledby="dead-letters-title">
    <h1 id="dead-letters-title">Dead letters</h1>
    <div class="bar"><button type="button" onClick=${load}>Reload</button></div>
    ${
      summary === undefined
        ? html`<${Loading}>Counting the dead letters…</${Loading}>`
        : summary.ok
          ? groups.length === 0
            ? html`<${Empty}>There are no dead letters.</${Empty}>`
            : html`<div class="view short" tabindex="0" role="region" aria-label="Dead letters by reason"><table>
                <thead><tr><th scope="col">Queue</th><th scope="col">Reason</th><th scope="col">Number</th><th scope="col">What it means, and what to do</th><th scope="col">Messages</th></tr></thead>
                <tbody>${groups.map(
                  ({ queue, reason, count }) => html`<tr key="${queue} ${reason}">
                    <td>${queue}</td><td>${reason}</td><td class="quantity">${count}</td><td>${(REASONS[reason] ?? OTHER).join(' ')}</td>
                    <td><button type="button" aria-label="Show ${reason} of ${queue}" onClick=${() => setGroup({ queue, reason, count })}>Show</button></td>
                  </tr>`,
                )}</tbody>
              </table></div>`
          : html`<${Failed} answer=${summary} onAgain=${load} />`
    }
    ${group && html`<${Group} key="${group.queue} ${group.reason}" ...${group} onWorked=${load} />`}
  </section>`
}

function Group({ queue, reason, count, onWorked }) {
  const [letters, setLetters] = useState([])
  const [answer, setAnswer] = useState(undefined)
  const [chosen, setChosen] = useState(new Set())
  const [asking, setAsking] = useState(undefined)
  const [result, setResult] = useState(undefined)
  const load = async (url = `/dead_letters/${queue}?limit=${PAGE}`) => {
    const next = await call(url)
    setAnswer(next)
    if (next.ok) setLetters((before) => before.concat(next.body.letters.filter((letter) => letter.reason === reason)))
  }
  useEffect(() => {
    load()
  }, [])
  const choose = (id, isChosen) =>
    setChosen((before) => new Set(isChosen ? [...before, id] : [...before].filter((each) => each !== id)))
  const work = async ({ verb, selection, number }) => {
    setAsking(undefined)
    setResult({ state: 'sending', text: 'Working…' })
    const headers = verb === 'redrive' ? { Prefer: `wait=${WAIT_S}` } : {}
    const body = { ...selection, most: number }
    const done = await call(`/dead_letters/${queue}/${verb}`, { method: 'POST', headers, body, timeoutMs: 60_000 })
    setResult({
      state: done.ok ? 'applied' : done.status === 0 || done.status >= 500 ? 'unknown' : 'refused',
      text: resultOf(verb, done),
    })
    setChosen(new Set())
    setLetters([])
    await load()
    onWorked()
  }
  const selection = { ids: [...chosen].slice(0, IDS_MAX) }
  const ask = (verb, selected, number) => setAsking({ verb, selection: selected, number })
  return html`<section class="card" aria-labelledby="group-title">
    <h2 id="group-title">${queue}: ${reason}</h2>
    <div class="buttons">
      <button type="button" disabled=${chosen.size === 0} onClick=${() => ask('redrive', selection, selection.ids.length)}>Redrive ${chosen.size} selected</button>
      <button type="button" disabled=${chosen.size === 0} onClick=${() => ask('discard', selection, selection.ids.length)}>Discard ${chosen.size} selected</button>
      <button type="button" onClick=${() => ask('redrive', { reason }, Math.min(count, MAX))}>Redrive all with this reason</button>
      <button type="button" class="danger" onClick=${() => ask('discard', { reason }, Math.min(count, MAX))}>Discard all with this reason</button>
    </div>
    ${result && html`<div class="notice ${result.state}" role="status"><p data-test="worked">${result.text}</p></div>`}
    ${answer === undefined ? html`<${Loading} />` : !answer.ok && html`<${Failed} answer=${answer} onAgain=${() => load()} />`}
    <ul class="letters">
      ${letters.map(
        (letter) => html`<li key=${letter.id}>
          <label><input type="checkbox" checked=${chosen.has(letter.id)} onChange=${({ target }) => choose(letter.id, target.checked)} /> ${letter.id}</label>
          <p>${letter.failedAt ?? 'at an unknown time'}, by ${letter.by ?? '?'}, attempts ${letter.attempts ?? '?'}, ${letter.bytes} bytes</p>
          ${letter.error && html`<p class="error">${letter.error}</p>`}
          <pre>${letter.body}${letter.shortened && '…'}</pre>
          <a href="#messages/${encodeURIComponent(letter.id)}">State and history</a>
        </li>`,
      )}
    </ul>
    ${answer?.ok && answer.next && html`<button type="button" onClick=${() => load(answer.next)}>Load more</button>`}
    ${asking && html`<${Confirm} ...${asking} onClose=${() => setAsking(undefined)} onSure=${() => work(asking)} />`}
  </section>`
}

function Confirm({ verb, number, onClose, onSure }) {
  const [fault, setFault] = useState(undefined)
  const submit = (event) => {
    event.preventDefault()
    if (event.target.elements.number.value.trim() === String(number)) onSure()
    else setFault(`must be ${number}`)
  }
  const doing = verb === 'redrive' ? 'Redrive' : 'Discard'
  return html`<${Dialog} title="${doing} ${number}?" onClose=${onClose}>
    <form onSubmit=${submit} novalidate>
      <p>${verb === 'redrive' ? 'They are published to their queue again, under the same ids.' : 'They are deleted permanently.'} At most ${number} are affected.</p>
      <${Field} name="number" label="Type the number ${number} to confirm" inputmode="numeric" error=${fault} autofocus />
      <div class="buttons">
        <button type="submit" class="danger">${doing}</button>
        <button type="button" onClick=${(event) => event.target.closest('dialog').close()}>Cancel</button>
      </div>
    </form>
  </${Dialog}>`
}

/** Reports the outcomes of redriven messages, not only their number. */
function resultOf(verb, { ok, status, body, detail }) {
  if (status === 0) return 'No response arrived. It is not known how many were affected. Check the list.'
  if (!ok) return `${detail}${body?.done === undefined ? '' : ` Done before that: ${body.done}. Left: ${body.left}.`}`
  const more = body.complete ? '' : ' Some of the selection is left. Repeat to continue.'
  if (verb === 'discard') return `${body.discarded} discarded, ${body.left} left on the queue.${more}`
  const { outcomes } = body
  if (outcomes === undefined)
    return `${body.redriven} redriven, with unknown outcomes. ${body.left} left on the queue.${more}`
  const refused = Object.entries(outcomes.refused).map(([reason, number]) => `${number} refused again (${reason})`)
  return `${[`${outcomes.applied} applied`, ...refused, `${outcomes.unknown} unknown`].join(', ')}; ${body.left} left on the queue.${more}`
}
