// The tab Items: search, a table of any length, and the commands that change stock.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { call, changed, openapi, suite } from './api.js'
import { html } from './html.js'
import { faultsOf } from './item-rules.js'
import { Dialog, dismiss, Empty, Failed, Field, Loading, notify, perform, useSuite } from './parts.js'

const PAGE_ITEMS = 500
const WHOLE_PAGE_ITEMS = 5_000
const SKU_MAX = 20
const ROW_PX = 44
const OVERSCAN_ROWS = 12
const SEARCH_AFTER_MS = 300
/** A deletion is sent after this time, unless the user takes it back. */
const TAKE_BACK_MS = 5_000

const COLUMNS = [
  ['sku', 'Sku'],
  ['name', 'Name'],
  ['label', 'Label'],
  ['price', 'Price'],
  ['quantity', 'Stock'],
]

const numbers = new Intl.NumberFormat(undefined, { maximumFractionDigits: 4 })
const money = new Intl.NumberFormat(undefined, { minimumFractionDigits: 2, maximumFractionDigits: 2 })

/** Removes a sku from the list on the screen. The tab sets this at each rendering, because it can be reopened before a deletion is sent. */
let dropShown = () => {}

export function Items() {
  const { epoch, arrivals, leaving } = useSuite()
  const [words, setWords] = useState('')
  const [sought, setSought] = useState('')
  const list = useList(sought, epoch, arrivals)
  dropShown = list.drop
  const [sort, setSort] = useState(undefined)
  const [dialog, setDialog] = useState(undefined)
  const timer = useRef(0)
  const box = useRef(null)

  const search = (text) => {
    clearTimeout(timer.current)
    setSought(text.trim())
  }
  const typed = ({ target }) => {
    setWords(target.value)
    clearTimeout(timer.current)
    timer.current = setTimeout(() => search(target.value), SEARCH_AFTER_MS)
  }
  // Selects the text, so that the next barcode scan replaces it.
  const entered = (event) => {
    event.preventDefault()
    search(words)
    box.current.select()
  }
  // The API lists items in the order of creation. Only the whole list is sorted: a sorted part would look like the start of the sorted list.
  const isWhole = list.next === undefined
  const sorted = useMemo(() => sortedBy(list.items, isWhole ? sort : undefined), [list.items, sort, isWhole])
  const value = useMemo(
    () => list.items.reduce((sum, { price, quantity }) => sum + (price ?? 0) * (quantity ?? 0), 0),
    [list.items],
  )

  const remove = (item) => {
    const key = `delete ${item.sku}`
    // Stored outside of this tab, because the user can leave the tab and return before the deletion is sent.
    changed({ leaving: new Set(suite.leaving).add(item.sku) })
    const stay = () => changed({ leaving: new Set([...suite.leaving].filter((sku) => sku !== item.sku)) })
    const sending = setTimeout(() => {
      dismiss(key)
      perform({ title: `Delete ${item.sku}.`, path: '/stock_management', body: { sku: item.sku } }, ({ state }) => {
        if (state === 'applied') dropShown(item.sku)
        stay()
      })
    }, TAKE_BACK_MS)
    const takeBack = () => {
      clearTimeout(sending)
      stay()
      notify({ key, title: `Delete ${item.sku}.`, state: 'refused', text: 'Taken back. Nothing was sent.' })
    }
    notify({ key, title: `Delete ${item.sku}.`, state: 'sending', text: 'It will be sent in 5 seconds.', takeBack })
  }

  const count = `${numbers.format(list.items.length)}${list.next ? ' or more' : ''} ${list.items.length === 1 ? 'item' : 'items'}`
  return html`<section aria-labelledby="items-title">
    <h1 id="items-title">Items</h1>
    <form class="bar" role="search" onSubmit=${entered}>
      <label for="search">Search in sku, name and label</label>
      <input id="search" type="search" ref=${box} value=${words} onInput=${typed} maxlength="100" autofocus autocomplete="off" />
      <button type="submit">Search</button>
      <button type="button" onClick=${() => list.reload()}>Reload</button>
      <button type="button" class="main" onClick=${() => setDialog({ kind: 'add' })}>Add an item</button>
    </form>
    <p class="summary" role="status">
      <span data-test="count">${count}</span>, stock value <span data-test="value">${money.format(value)}</span>
      ${list.next && html` of the loaded items. <button type="button" class="link" disabled=${list.isLoading} onClick=${list.loadAll}>Load all</button> to sort them.`}
    </p>
    ${
      list.failed
        ? html`<${Failed} answer=${list.failed} onAgain=${list.more} />`
        : list.items.length === 0 &&
          (
            list.isLoading
              ? html`<${Loading} />`
              : html`<${Empty}>${sought === '' ? 'There are no items yet. Add the first one.' : `No item has “${sought}” in its sku, name or label.`}</${Empty}>`
          )
    }
    ${
      list.items.length > 0 &&
      html`<${Table} items=${sorted} sort=${isWhole ? sort : undefined} onSort=${isWhole && setSort} onEnd=${list.more} leaving=${leaving}
        onChange=${(item, change) => setDialog({ kind: 'change', item, change })} onDelete=${(item) => setDialog({ kind: 'delete', item })} />`
    }
    ${dialog?.kind === 'add' && html`<${AddItem} onClose=${() => setDialog(undefined)} onStored=${list.add} />`}
    ${
      dialog?.kind === 'change' &&
      html`<${ChangeStock} item=${dialog.item} change=${dialog.change} onClose=${() => setDialog(undefined)} onChanged=${list.setQuantity} />`
    }
    ${
      dialog?.kind === 'delete' &&
      html`<${Dialog} title="Delete ${dialog.item.sku}?" onClose=${() => setDialog(undefined)}>
        <form method="dialog" onSubmit=${() => remove(dialog.item)}>
          <p>${dialog.item.name}, ${numbers.format(dialog.item.quantity ?? 0)} in stock. You can take it back for 5 seconds.</p>
          <div class="buttons">
            <button type="submit" class="danger">Delete</button>
            <button type="button" onClick=${(event) => event.target.closest('dialog').close()}>Keep it</button>
          </div>
        </form>
      </${Dialog}>`
    }
  </section>`
}

/** The loaded part of the list. Pages are loaded one after the other. A completely loaded list grows while items arrive. */
function useList(sought, epoch, arrivals) {
  const [state, setState] = useState({ items: [], next: undefined, isLoading: true, failed: undefined })
  const run = useRef({ id: 0 })
  const [round, setRound] = useState(0)

  const load = async (url, isAll, { known = 0, isQuiet = false } = {}) => {
    const { current } = run
    if (current.isLoading) return
    current.isLoading = true
    if (!isQuiet) setState((now) => ({ ...now, isLoading: true, failed: undefined }))
    // A page of a search can be short or empty even if more pages follow.
    for (let next = url, added = 0; next !== undefined && (isAll || added < PAGE_ITEMS); ) {
      const answer = await call(next)
      if (run.current !== current) return
      if (!answer.ok || !Array.isArray(answer.body)) {
        current.isLoading = false
        if (isQuiet) return
        current.url = next
        setState((now) => ({ ...now, isLoading: false, failed: answer }))
        return
      }
      const skipped = next === url ? known : 0
      current.last = { url: next, count: answer.body.length }
      next = answer.next
      current.url = next
      added += answer.body.length
      setState((now) => ({ ...now, items: joined(now.items, answer.body, skipped), next: answer.next }))
    }
    current.isLoading = false
    setState((now) => ({ ...now, isLoading: false }))
  }

  /** Loads the first page. If the search text is a complete sku, for example from a scanner, shows its item before the search ends. */
  const begin = async (current) => {
    load(current.url, false)
    if (sought === '' || [...sought].length > SKU_MAX) return
    const { ok, body } = await call(`/order_processing?limit=1&sku=${encodeURIComponent(sought)}`)
    if (run.current !== current || !ok || !body?.[0]) return
    const [exact] = body
    setState((now) => ({ ...now, items: [exact, ...now.items.filter(({ sku }) => sku !== exact.sku)] }))
  }

  useEffect(() => {
    run.current = { id: run.current.id + 1, isLoading: false }
    setState({ items: [], next: undefined, isLoading: true, failed: undefined })
    const query = sought === '' ? '' : `&q=${encodeURIComponent(sought)}`
    run.current.url = `/order_processing?limit=${PAGE_ITEMS}${query}`
    begin(run.current)
  }, [sought, epoch, round])

  // A search is not refreshed, because it would read the whole table again.
  useEffect(() => {
    const { current } = run
    if (sought !== '' || current.isLoading || current.url !== undefined || current.last === undefined) return
    const { url, count } = current.last
    load(limited(url, Math.max(PAGE_ITEMS, count)), current.isWhole, { known: count, isQuiet: true })
  }, [arrivals])

  const change = (edit) => setState((now) => ({ ...now, items: edit(now.items) }))
  return {
    ...state,
    reload: () => setRound((count) => count + 1),
    more: () => run.current.url && load(run.current.url, false),
    loadAll: () => {
      if (run.current.url === undefined) return
      run.current.isWhole = true
      load(limited(run.current.url, WHOLE_PAGE_ITEMS), true)
    },
    add: (item) => change((items) => [item, ...items.filter(({ sku }) => sku !== item.sku)]),
    drop: (sku) => change((items) => items.filter((item) => item.sku !== sku)),
    setQuantity: (sku, quantity) =>
      change((items) => items.map((item) => (item.sku === sku ? { ...item, quantity } : item))),
  }
}

const limited = (url, items) => url.replace(/limit=\d+/, `limit=${items}`)

/**
 * Adds the new items of a page. An item is not new if the list already has its sku. Items of the Python suite can lack
 * a sku. Such an item is not new if it is one of the first `known` items of the page, which the list already has.
 */
function joined(items, page, known) {
  const skus = new Set(items.map(({ sku }) => sku))
  const isNew = page.filter(({ sku }, at) => (sku === null ? at >= known : !skus.has(sku)))
  return isNew.length === 0 ? items : items.concat(isNew)
}

function sortedBy(items, sort) {
  if (sort === undefined) return items
  const { column, isDown } = sort
  const order = new Intl.Collator(undefined, { numeric: true })
  const compare = (one, other) => {
    const [a, b] = [one[column], other[column]]
    if (a === null || b === null) return (a === null) - (b === null)
    return typeof a === 'number' ? a - b : order.compare(a, b)
  }
  return [...items].sort((one, other) => (isDown ? compare(other, one) : compare(one, other)))
}

/** Renders only the visible rows and a few rows around them. */
function Table({ items, sort, onSort, onEnd, leaving, onChange, onDelete }) {
  const [top, setTop] = useState(0)
  const [height, setHeight] = useState(600)
  const view = useRef(null)
  useEffect(() => {
    const observer = new ResizeObserver(([{ contentRect }]) => setHeight(contentRect.height))
    observer.observe(view.current)
    return () => observer.disconnect()
  }, [])
  const first = Math.max(0, Math.min(items.length - 1, Math.floor(top / ROW_PX)) - OVERSCAN_ROWS)
  const last = Math.min(items.length, Math.ceil((top + height) / ROW_PX) + OVERSCAN_ROWS)
  useEffect(() => {
    if (last >= items.length) onEnd()
  }, [last, items.length])
  const sortBy = (column) => onSort({ column, isDown: sort?.column === column && !sort.isDown })
  const directionOf = (column) => (sort?.column !== column ? 'none' : sort.isDown ? 'descending' : 'ascending')
  return html`<div class="view" ref=${view} tabindex="0" role="region" aria-label="Items, as a table" onScroll=${({ target }) => setTop(target.scrollTop)}>
    <table class="items" aria-rowcount=${items.length + 1}>
      <thead><tr>
        ${COLUMNS.map(
          ([column, title]) => html`<th scope="col" class=${column} aria-sort=${directionOf(column)}>
            <button type="button" disabled=${!onSort} onClick=${() => sortBy(column)}>${title}<span aria-hidden="true">${{ ascending: ' ▲', descending: ' ▼' }[directionOf(column)]}</span></button>
          </th>`,
        )}
        <th scope="col" class="actions">Actions</th>
      </tr></thead>
      <tbody>
        ${first > 0 && html`<tr aria-hidden="true"><td colspan="6" style=${{ height: `${first * ROW_PX}px` }}></td></tr>`}
        ${items.slice(first, last).map(
          (
            item,
            index,
          ) => html`<tr key=${item.sku ?? first + index} aria-rowindex=${first + index + 2} class=${leaving.has(item.sku) ? 'leaving' : undefined}>
            ${COLUMNS.map(([column]) => html`<td class=${column} title=${item[column]}>${shown(item[column])}</td>`)}
            <td class="actions">${
              item.sku !== null &&
              html`<button type="button" aria-label="Less of ${item.sku}" onClick=${() => onChange(item, -1)}>−</button>
              <button type="button" aria-label="More of ${item.sku}" onClick=${() => onChange(item, 1)}>+</button>
              <button type="button" aria-label="Delete ${item.sku}" disabled=${leaving.has(item.sku)} onClick=${() => onDelete(item)}>✕</button>`
            }</td>
          </tr>`,
        )}
        ${last < items.length && html`<tr aria-hidden="true"><td colspan="6" style=${{ height: `${(items.length - last) * ROW_PX}px` }}></td></tr>`}
      </tbody>
    </table>
  </div>`
}

const shown = (value) => (value === null ? '–' : typeof value === 'number' ? numbers.format(value) : value)

function AddItem({ onClose, onStored }) {
  const [faults, setFaults] = useState({})
  const [isSending, setSending] = useState(false)
  const form = useRef(null)
  const submit = async (event) => {
    event.preventDefault()
    const body = Object.fromEntries(new FormData(form.current))
    const found = faultsOf(body, (await openapi())?.components.schemas)
    setFaults(found)
    if (Object.keys(found).length > 0) return form.current.elements[Object.keys(found)[0]].focus()
    setSending(true)
    const { state, text, errors, result } = await perform({ title: `Add ${body.sku}.`, path: '/create_item', body })
    setSending(false)
    if (state === 'applied') {
      onStored(result)
      onClose()
    } else if (errors.length > 0) setFaults(Object.fromEntries(errors.map(({ path, message }) => [path, message])))
    else if (state === 'refused') setFaults({ sku: text })
    else onClose()
  }
  return html`<${Dialog} title="Add an item" onClose=${onClose}>
    <form ref=${form} onSubmit=${submit} novalidate>
      <${Field} name="sku" label="Sku" error=${faults.sku} hint="1 to 20 characters" autofocus />
      <${Field} name="name" label="Name" error=${faults.name} hint="1 to 100 characters" />
      <${Field} name="label" label="Label" error=${faults.label} hint="1 to 50 characters" />
      <${Field} name="price" label="Price" error=${faults.price} hint="for example 25.00" inputmode="decimal" />
      <${Field} name="quantity" label="Stock" error=${faults.quantity} hint="a whole number" inputmode="numeric" />
      <div class="buttons">
        <button type="submit" class="main" disabled=${isSending}>Add</button>
        <button type="button" onClick=${(event) => event.target.closest('dialog').close()}>Cancel</button>
      </div>
    </form>
  </${Dialog}>`
}

function ChangeStock({ item, change, onClose, onChanged }) {
  const [fault, setFault] = useState({})
  const form = useRef(null)
  const submit = async (event) => {
    event.preventDefault()
    const { amount, reason } = Object.fromEntries(new FormData(form.current))
    const faults = {
      ...(/^[1-9]\d{0,9}$/.test(amount.trim()) ? {} : { amount: 'must be a whole number from 1' }),
      ...(reason === '' ? { reason: 'must not be empty' } : {}),
    }
    setFault(faults)
    if (Object.keys(faults).length > 0) return
    onClose()
    const sign = change < 0 ? '−' : '+'
    const body = { sku: item.sku, change: change * Number(amount), reason }
    await perform(
      { title: `${item.sku}: ${sign}${amount.trim()}.`, path: '/stock_adjustment', body },
      ({ state, result }) => {
        if (state === 'applied') onChanged(item.sku, result.quantity)
      },
    )
  }
  return html`<${Dialog} title="${change < 0 ? 'Less' : 'More'} of ${item.sku}" onClose=${onClose}>
    <form ref=${form} onSubmit=${submit} novalidate>
      <p>${item.name}: ${item.quantity === null ? 'no quantity' : numbers.format(item.quantity)} in stock.</p>
      <${Field} name="amount" label=${change < 0 ? 'Number to take out' : 'Number to put in'} value="1" inputmode="numeric" error=${fault.amount} autofocus />
      <${Field} name="reason" label="Reason" value=${change < 0 ? 'sold' : 'received'} maxlength="100" error=${fault.reason} />
      <div class="buttons">
        <button type="submit" class="main">${change < 0 ? 'Take out' : 'Put in'}</button>
        <button type="button" onClick=${(event) => event.target.closest('dialog').close()}>Cancel</button>
      </div>
    </form>
  </${Dialog}>`
}
