// The tab Health: what each queue holds, who consumes it, and a health check through the broker.
import { call, watchQueues } from './api.js'
import { html } from './html.js'
import { Empty, Loading, notify, useSuite } from './parts.js'

const CONSUMER = {
  healthcheck: 'consumer_one',
  create_item: 'consumer_two',
  stock_management: 'consumer_three',
  stock_adjustment: 'consumer_three',
  order_processing: 'consumer_four',
  movements: 'consumer_four',
  message_status: 'consumer_four',
}

export function Health() {
  const { queues, reachable, broker } = useSuite()
  const check = async () => {
    const key = 'healthcheck'
    notify({ key, title: 'Health check.', state: 'sending', text: 'Sending…' })
    const { ok, status, detail, messageId } = await call('/healthcheck')
    const state = ok ? 'applied' : status === 0 || status >= 500 ? 'unknown' : 'refused'
    const text = ok ? 'The broker has stored it. consumer_one logs it under its id.' : detail
    notify({ key, title: 'Health check.', state, text, messageId })
  }
  return html`<section aria-labelledby="health-title">
    <h1 id="health-title">Health</h1>
    <div class="bar">
      <button type="button" class="main" onClick=${check}>Send a health check</button>
      <button type="button" onClick=${() => watchQueues()}>Reload</button>
    </div>
    <dl class="state">
      <div><dt>producer</dt><dd><span class="badge ${reachable ? 'applied' : 'refused'}">${reachable ? 'answers' : 'cannot be reached'}</span></dd></div>
      <div><dt>broker</dt><dd><span class="badge ${broker || !reachable ? 'refused' : 'applied'}">${!reachable ? 'not known' : broker ? 'away' : 'reachable'}</span></dd></div>
    </dl>
    ${
      queues === undefined
        ? reachable && !broker
          ? html`<${Loading} />`
          : html`<${Empty}>Nothing is known about the queues.</${Empty}>`
        : html`<div class="view short" tabindex="0" role="region" aria-label="The queues"><table>
            <thead><tr><th scope="col">Queue</th><th scope="col">Service</th><th scope="col">Waiting</th><th scope="col">Consumers</th><th scope="col">Dead letters</th></tr></thead>
            <tbody>${queues.map(
              ({ queue, waiting, consumers, deadLetters }) => html`<tr key=${queue}>
                <td>${queue}</td><td>${CONSUMER[queue] ?? ''}</td><td class="quantity">${waiting}</td>
                <td class="quantity"><span class="badge ${consumers > 0 ? 'applied' : 'refused'}">${consumers}</span></td><td class="quantity">${deadLetters}</td>
              </tr>`,
            )}</tbody>
          </table></div>`
    }
    <p>More than this page can show is on the admin port of each service: <code>/readyz</code> and <code>/metrics</code>, or <code>npm run status</code>.</p>
  </section>`
}
