// The console: tabs, a banner that reports problems, and a dialog for the API key.
import { render } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { changed, hasKey, useKey, WATCH_EVERY_MS, watchQueues } from './api.js'
import { DeadLetters } from './dead-letters.js'
import { Health } from './health.js'
import { html } from './html.js'
import { Items } from './items.js'
import { Messages } from './messages.js'
import { Dialog, Field, Notices, useSuite } from './parts.js'

const TABS = [
  ['items', 'Items', Items],
  ['messages', 'Messages', Messages],
  ['dead-letters', 'Dead letters', DeadLetters],
  ['health', 'Health', Health],
]

function routeOf(hash) {
  const [tab, wanted = ''] = hash.slice(1).split('/')
  let decoded = ''
  try {
    decoded = decodeURIComponent(wanted)
  } catch {}
  return { tab: TABS.some(([name]) => name === tab) ? tab : 'items', wanted: decoded }
}

function Console() {
  const suite = useSuite()
  const [route, setRoute] = useState(routeOf(location.hash))
  const [isAsking, setAsking] = useState(false)
  useEffect(() => {
    const moved = () => setRoute(routeOf(location.hash))
    addEventListener('hashchange', moved)
    return () => removeEventListener('hashchange', moved)
  }, [])
  useEffect(() => {
    let timer = 0
    const watch = async () => {
      const afterMs = document.visibilityState === 'visible' ? await watchQueues() : WATCH_EVERY_MS
      timer = setTimeout(watch, afterMs)
    }
    watch()
    return () => clearTimeout(timer)
  }, [suite.epoch])
  const [, , Tab] = TABS.find(([name]) => name === route.tab)
  return html`
    <header>
      <p class="brand">IMS</p>
      <nav aria-label="Tabs">${TABS.map(
        ([name, title]) =>
          html`<a key=${name} href="#${name}" aria-current=${name === route.tab ? 'page' : undefined}>${title}</a>`,
      )}</nav>
      <a href="/docs">API</a>
      <button type="button" onClick=${() => setAsking(true)}>${hasKey() ? 'Change the key' : 'API key'}</button>
    </header>
    <${Banner} ...${suite} />
    <main><${Tab} key=${route.tab} wanted=${route.wanted} /></main>
    <${Notices} />
    ${
      (isAsking || suite.needsKey) &&
      html`<${AskForKey} why=${suite.needsKey} onClose=${() => {
        setAsking(false)
        changed({ needsKey: undefined })
      }} />`
    }
  `
}

/** The banner disappears when a later response shows that the problem is over. */
function Banner({ reachable, broker, idle }) {
  const text = !reachable
    ? 'The producer cannot be reached from this browser. The data on this page may be out of date.'
    : broker
      ? 'The broker cannot be reached: no command is accepted at the moment. Accepted commands are not lost.'
      : idle.length > 0
        ? `There is no consumer for ${idle.join(', ')}: MySQL is down, or a service has stopped. Accepted messages wait in their queues.`
        : undefined
  return html`<div role="alert">${text && html`<p class="banner">${text}</p>`}</div>`
}

function AskForKey({ why, onClose }) {
  const submit = (event) => {
    event.preventDefault()
    const key = event.target.elements.key.value.trim()
    onClose()
    useKey(key)
  }
  return html`<${Dialog} title="API key" onClose=${onClose}>
    <form onSubmit=${submit}>
      <p>${why ?? 'The key of this browser tab.'} It is kept until the tab is closed. An empty key removes it.</p>
      <${Field} name="key" label="API key" type="password" autofocus />
      <div class="buttons"><button type="submit" class="main">Use it</button></div>
    </form>
  </${Dialog}>`
}

render(html`<${Console} />`, document.getElementById('console'))
