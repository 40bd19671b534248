// The tab Health: the messages and consumers of each queue, commands per second, and a health check through the broker.
import { useEffect, useRef } from 'preact/hooks'
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
  const { queues, reachable, broker, rates } = useSuite()
  const check = async () => {
    const key = 'healthcheck'
    notify({ key, title: 'Health check.', state: 'sending', text: 'Sending…' })
    const { ok, status, detail, messageId } = await call('/healthcheck')
    const state = ok ? 'applied' : status === 0 || status >= 500 ? 'unknown' : 'refused'
    const text = ok ? 'The broker has stored it. The log of consumer_one shows it under its id.' : detail
    notify({ key, title: 'Health check.', state, text, messageId })
  }
  return html`<section aria-labelledby="health-title">
    <h1 id="health-title">Health</h1>
    <div class="bar">
      <button type="button" class="main" onClick=${check}>Send a health check</button>
      <button type="button" onClick=${() => watchQueues()}>Reload</button>
    </div>
    <dl class="state">
      <div><dt>producer</dt><dd><span class="badge ${reachable ? 'applied' : 'refused'}">${reachable ? 'responds' : 'cannot be reached'}</span></dd></div>
      <div><dt>broker</dt><dd><span class="badge ${broker || !reachable ? 'refused' : 'applied'}">${!reachable ? 'unknown' : broker ? 'cannot be reached' : 'reachable'}</span></dd></div>
    </dl>
    ${
      queues === undefined
        ? reachable && !broker
          ? html`<${Loading} />`
          : html`<${Empty}>The state of the queues is unknown.</${Empty}>`
        : html`<div class="view short" tabindex="0" role="region" aria-label="The queues"><table>
            <thead><tr><th scope="col">Queue</th><th scope="col">Service</th><th scope="col" class="quantity">Waiting</th><th scope="col" class="quantity">Consumers</th><th scope="col" class="quantity">Dead letters</th></tr></thead>
            <tbody>${queues.map(
              ({ queue, waiting, consumers, deadLetters }) => html`<tr key=${queue}>
                <td>${queue}</td><td>${CONSUMER[queue] ?? ''}</td><td class="quantity">${waiting}</td>
                <td class="quantity"><span class="badge ${consumers > 0 ? 'applied' : 'refused'}">${consumers}</span></td><td class="quantity">${deadLetters}</td>
              </tr>`,
            )}</tbody>
          </table></div>`
    }
    ${rates && html`<${Rates} ...${rates} />`}
    <p>For more, use <code>/readyz</code> and <code>/metrics</code> on the admin port of each service, or <code>npm run status</code>.</p>
  </section>`
}

const rounded = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 })

/** The summary explains the plots, because each producer counts only the commands that it accepts. */
function Rates({ points, producer, others }) {
  return html`<div class="plots">
      <${Plot} title="Accepted per second" member="accepted" points=${points} />
      <${Plot} title="Left the queues per second, estimated" member="left" points=${points} />
    </div>
    <p class="summary">Both plots show one producer process (<code>${producer.slice(0, 8)}</code>) in the last five minutes. Accepted: its commands and health
      checks that the broker stored. Left the queues: the accepted number minus the growth of the queues. Commands from other senders and requeued messages distort this number.
      ${others && 'Other producers share this address. The commands that they accept are not counted.'}</p>`
}

function Plot({ title, member, points }) {
  const box = useRef(null)
  const plot = useRef(undefined)
  const draw = () =>
    plot.current?.draw(
      points.map(({ at }) => at),
      points.map((point) => point[member]),
    )
  useEffect(() => {
    let isGone = false
    // If the module cannot be loaded, the page shows the number only.
    import('./plots.js').then(
      ({ plotIn }) => {
        if (isGone) return
        plot.current = plotIn(box.current)
        draw()
      },
      () => {},
    )
    return () => {
      isGone = true
      plot.current?.destroy()
    }
  }, [])
  useEffect(draw, [points])
  const last = points.at(-1)?.[member] ?? undefined
  return html`<figure>
    <figcaption>${title}: <strong data-test=${member}>${last === undefined ? '–' : rounded.format(last)}</strong></figcaption>
    <div class="plot" ref=${box} aria-hidden="true"></div>
  </figure>`
}
