// Parts that all tabs use: subscriptions to changes, dialogs, and notices about commands.
import { useEffect, useRef, useState } from 'preact/hooks'
import { onChange, send, suite } from './api.js'
import { html } from './html.js'

/** Renders the component again when the state of the suite or of a command has changed. */
export function useSuite() {
  const [, again] = useState(0)
  useEffect(() => onChange(() => again((count) => count + 1)), [])
  return suite
}

/** A modal dialog. The browser keeps the focus in it, and Escape closes it. */
export function Dialog({ title, onClose, children }) {
  const element = useRef(null)
  useEffect(() => element.current.showModal(), [])
  return html`<dialog ref=${element} aria-label=${title} onClose=${onClose}>
    <h2>${title}</h2>
    ${children}
  </dialog>`
}

export function Field({ name, label, hint, error, ...input }) {
  const described = [hint && `${name}-hint`, error && `${name}-error`].filter(Boolean).join(' ')
  return html`<div class="field">
    <label for=${name}>${label}</label>
    <input id=${name} name=${name} autocomplete="off" aria-invalid=${error ? 'true' : undefined}
      aria-describedby=${described || undefined} ...${input} />
    ${hint && html`<small id="${name}-hint">${hint}</small>`}
    ${error && html`<p class="error" id="${name}-error">${error}</p>`}
  </div>`
}

export const Empty = ({ children }) => html`<p class="empty">${children}</p>`
export const Loading = ({ children = 'Loading…' }) => html`<p class="empty" role="status">${children}</p>`

export function Failed({ answer, onAgain }) {
  return html`<div class="failed" role="alert">
    <p>${answer.detail}</p>
    <button type="button" onClick=${onAgain}>Try again</button>
  </div>`
}

let notices = []
const listeners = new Set()

function show(next) {
  notices = next
  for (const listener of listeners) listener()
}

const NOTICES_MAX = 4
/** The notice of an applied command disappears after this time. */
const APPLIED_SHOWN_MS = 8_000

export function notify(notice) {
  show([notice, ...notices.filter(({ key }) => key !== notice.key)].slice(0, NOTICES_MAX))
  if (notice.state === 'applied') setTimeout(() => show(notices.filter((each) => each !== notice)), APPLIED_SHOWN_MS)
}

export const dismiss = (key) => show(notices.filter((each) => each.key !== key))

/** Sends a command and shows its state in a notice. If it can be sent again, the notice has a button for that. */
export async function perform(command, onDone = () => {}) {
  const key = command.key ?? crypto.getRandomValues(new Uint32Array(4)).join('-')
  notify({ key, title: command.title, state: 'sending', text: 'Sending…' })
  const done = await send({ ...command, key })
  const { title, path, body, at, state, text, again, messageId } = done
  const repeat = again ? () => perform({ title, path, body, at, key, messageId }, onDone) : undefined
  notify({ key, title, state, text, messageId, repeat })
  onDone(done)
  return done
}

export function Notices() {
  const [, again] = useState(0)
  useEffect(() => {
    const listener = () => again((count) => count + 1)
    listeners.add(listener)
    return () => listeners.delete(listener)
  }, [])
  return html`<div class="notices" role="status" aria-live="polite">
    ${notices.map(
      ({ key, title, state, text, messageId, repeat, takeBack }) => html`<div class="notice ${state}" key=${key}>
        <p><strong>${title}</strong> ${text}</p>
        ${messageId && html`<p><a href="#messages/${encodeURIComponent(messageId)}">Message ${messageId}</a></p>`}
        <div class="buttons">
          ${takeBack && html`<button type="button" onClick=${takeBack}>Take back</button>`}
          ${repeat && html`<button type="button" onClick=${repeat}>Try again</button>`}
          ${state !== 'sending' && !takeBack && html`<button type="button" onClick=${() => dismiss(key)}>Close</button>`}
        </div>
      </div>`,
    )}
  </div>`
}
