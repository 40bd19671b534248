// The tab Messages: the state of one message, and the recent commands from this browser.
import { useEffect, useRef, useState } from 'preact/hooks'
import { call, commands } from './api.js'
import { html } from './html.js'
import { Empty, Failed, Loading, perform, useSuite } from './parts.js'

/** The possible states of a message whose record does not show its state. */
const POSSIBLE = {
  queued: 'It may still be in its queue.',
  'dead-letter': 'It may be a dead letter.',
  'never-sent': 'It may never have been sent.',
  'leaves-no-record': 'It may be a health check or a query, which leave no record.',
  forgotten: 'Its record may have been deleted after the retention time.',
  told: 'Its sender may have received the refusal. Then there is no dead letter.',
  redriven: 'It may have been redriven.',
  discarded: 'It may have been discarded by an operator.',
}

const STATES = { applied: 'Applied', refused: 'Refused', unknown: 'Unknown', pending: 'Pending' }
const at = (time) => new Date(time).toLocaleString()

export function Messages({ wanted }) {
  const { epoch } = useSuite()
  const [typed, setTyped] = useState(wanted)
  const [answer, setAnswer] = useState(undefined)
  const [isLoading, setLoading] = useState(false)
  const now = useRef(wanted)
  now.current = wanted
  const look = async () => {
    if (wanted === '') return setAnswer(undefined)
    setLoading(true)
    const answered = await call(`/messages/${encodeURIComponent(wanted)}`)
    // A late response about another message is not shown.
    if (now.current !== wanted) return
    setAnswer(answered)
    setLoading(false)
  }
  useEffect(() => {
    setTyped(wanted)
    setLoading(false)
    look()
  }, [wanted, epoch])
  const submit = (event) => {
    event.preventDefault()
    const target = `#messages/${encodeURIComponent(typed.trim())}`
    if (target === location.hash) look()
    else location.hash = target
  }
  return html`<section aria-labelledby="messages-title">
    <h1 id="messages-title">Messages</h1>
    <form class="bar" role="search" onSubmit=${submit}>
      <label for="message-id">Id of a message (the header Message-Id)</label>
      <input id="message-id" value=${typed} onInput=${({ target }) => setTyped(target.value)} maxlength="255" autocomplete="off" />
      <button type="submit" class="main">Find</button>
    </form>
    ${isLoading ? html`<${Loading} />` : answer && (answer.ok ? html`<${TimeLine} message=${answer.body} />` : html`<${Failed} answer=${answer} onAgain=${look} />`)}
    <h2>Recent commands from this browser</h2>
    <${Commands} />
  </section>`
}

function TimeLine({ message }) {
  const { id, state, possible = [], history = [], sentAt } = message
  return html`<div class="card">
    <h2>${STATES[state]} <span class="badge ${state}">${state}</span></h2>
    <p class="id">${id}</p>
    <ol class="time-line">
      ${sentAt && html`<li><time datetime=${sentAt}>${at(sentAt)}</time> Sent (the time in its id).</li>`}
      ${history.map(
        ({
          queue,
          outcome,
          error,
          at: time,
          redrives,
          redrivenBefore,
        }) => html`<li class=${error === null ? 'applied' : 'refused'}>
          <time datetime=${time}>${at(time)}</time> ${queue}: ${outcome}${redrives > 0 && `, redriven ${redrives} times before`}
          ${error !== null && html`<br />${error}`}
          ${redrivenBefore && html`<br />It was redriven before ${at(redrivenBefore)}.`}
        </li>`,
      )}
      ${possible.map((each) => html`<li class="possible">${POSSIBLE[each] ?? each}</li>`)}
    </ol>
    <p>To find it in the logs of the services, run <code>npm run logs | grep ${id}</code></p>
  </div>`
}

function Commands() {
  const kept = commands()
  if (kept.length === 0) return html`<${Empty}>This browser has sent no commands yet.</${Empty}>`
  return html`<ul class="commands">
    ${kept.map(
      (command) => html`<li key=${command.key} class="notice ${command.state}">
        <p><strong>${command.title}</strong> <span class="badge ${command.state}">${STATES[command.state]}</span> <time datetime=${command.at}>${at(command.at)}</time></p>
        <p>${command.text}</p>
        <div class="buttons">
          ${command.messageId && html`<a href="#messages/${encodeURIComponent(command.messageId)}">Message ${command.messageId}</a>`}
          ${command.again && html`<button type="button" onClick=${() => perform({ title: command.title, path: command.path, body: command.body, at: command.at, key: command.key, messageId: command.messageId })}>Try again</button>`}
        </div>
      </li>`,
    )}
  </ul>`
}
