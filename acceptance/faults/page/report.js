// The script of report.html: draws the record of a run. Messages may be hostile, so all text is set as text nodes.
const SVG = 'http://www.w3.org/2000/svg'
const GUTTER = 130
const LANE = 18
const PLOT = 90
const AXIS = 24
const BUCKETS_MS = [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000]
const BUCKET_MIN_PX = 6
const CALLS_DRAWN_MAX = 2_000
const LISTED_MAX = 100
const AROUND_MS = 2_000

const record = JSON.parse(document.getElementById('record').textContent)
const { rounds, violations, endedMs } = record
const messages = record.messages.map((message, index) => ({ ...message, index }))
const faults = rounds.flatMap((round) => round.faults)
const calls = messages.flatMap((message) => message.calls.map((call) => ({ ...call, message })))
const decisions = messages.flatMap(({ events }) => events.filter(({ isDecision }) => isDecision))
const accused = new Map(
  violations.filter(({ message }) => message !== undefined).map((each) => [messages[each.message], each]),
)
let shown = { fromMs: 0, untilMs: endedMs }
let chosen

const byId = (id) => document.getElementById(id)
const seconds = (ms, digits = 1) => `${(ms / 1_000).toFixed(digits)} s`

/** Creates an element with these attributes and children. An attribute that is a function becomes an event listener. */
function make(parent, [tag, namespace], attributes, children) {
  const element = namespace ? document.createElementNS(namespace, tag) : document.createElement(tag)
  for (const [name, value] of Object.entries(attributes))
    if (typeof value === 'function') element.addEventListener(name, value)
    else element.setAttribute(name, value)
  element.append(...children)
  parent?.append(element)
  return element
}
const el = (tag, attributes = {}, ...children) => make(undefined, [tag], attributes, children)
const draw = (svg, tag, attributes = {}, ...children) => make(svg, [tag, SVG], attributes, children)
const button = (text, click, attributes = {}) => el('button', { type: 'button', ...attributes, click }, text)
const tooltip = (text) => make(undefined, ['title', SVG], {}, [text])

// ---- texts

const titleOf = ({ number, kind, note, tookEffect }) =>
  `${number}: ${kind}${note === '' ? '' : ` (${note})`}${tookEffect ? '' : ' [no effect]'}`
const nameOf = ({ kind, sku, id }) => `${kind} ${sku ?? ''} ${id}`

function classOf(answered) {
  if (/^(20|published: accepted)/.test(answered)) return 'accepted'
  return /^(\d|published: not)/.test(answered) ? 'refused' : 'unanswered'
}

// ---- the header

byId('verdict').textContent =
  violations.length === 0 ? 'No violation' : `${violations.length} violation${violations.length === 1 ? '' : 's'}`
byId('verdict').className = violations.length === 0 ? 'good' : 'bad'
byId('facts').append(
  ...[
    ['Repeat it', el('code', {}, record.command)],
    ['Commit', record.commit],
    ['Servers', record.servers],
    ['Started', record.startedAt],
    ['Length', seconds(endedMs)],
    ['Summary', record.summary],
    ...(record.shrunk ? [['Shrunk', record.shrunk]] : []),
  ].flatMap(([name, value]) => [el('dt', {}, name), el('dd', {}, value)]),
)
byId('violations').append(
  ...violations.map(({ what, text, message }) =>
    el(
      'li',
      {},
      message === undefined
        ? `${what}: ${text}`
        : button(`${what}: ${text} (${nameOf(messages[message])})`, () => choose(messages[message], { zoom: true })),
    ),
  ),
)
byId('violations').hidden = violations.length === 0

// ---- the time line

const groups = [...new Set(faults.map(({ group }) => group))].sort()

function drawTimeLine() {
  const width = Math.max(byId('time-line').clientWidth, 320)
  const { fromMs, untilMs } = shown
  const x = (ms) => GUTTER + ((ms - fromMs) / (untilMs - fromMs)) * (width - GUTTER)
  const isShown = (each) => each.fromMs <= untilMs && each.untilMs >= fromMs
  const svg = draw(undefined, 'svg', { width, role: 'img', 'aria-label': 'Faults, recovery, throughput and calls' })
  const label = (text, top) => draw(svg, 'text', { x: GUTTER - 8, y: top, 'text-anchor': 'end', class: 'label' }, text)
  const bar = (each, top, height, attributes, text) => {
    const left = Math.max(x(each.fromMs), GUTTER)
    const right = Math.min(x(each.untilMs), width)
    const box = { x: left, y: top, width: Math.max(right - left, 2), height, ...attributes }
    return draw(svg, 'rect', box, tooltip(text))
  }
  let top = 0
  for (const group of groups) {
    label(group, top + 13)
    for (const fault of faults.filter((each) => each.group === group && isShown(each)))
      bar(
        fault,
        top + 2,
        LANE - 4,
        { class: fault.tookEffect ? 'fault' : 'fault vain', 'data-fault': fault.number, click: () => zoom(fault) },
        `${titleOf(fault)}, ${seconds(fault.fromMs)} to ${seconds(fault.untilMs)}`,
      )
    top += LANE
  }
  top = drawRecovery({ svg, label, bar, isShown }, top + 10)
  top = drawThroughput({ svg, label, bar, x, width }, top + 14)
  top = drawCalls({ label, bar, isShown }, top + 14)
  drawAxis({ svg, x, width }, top)
  svg.setAttribute('height', top + AXIS)
  zoomByDragging(svg, (px) => fromMs + ((px - GUTTER) / (width - GUTTER)) * (untilMs - fromMs))
  byId('time-line').replaceChildren(svg)
  byId('shown').textContent = `${seconds(fromMs)} to ${seconds(untilMs)}`
}

/** Draws a bar for each round. Its height and its width show the recovery time. */
function drawRecovery({ label, bar, isShown }, top) {
  const max = Math.max(1, ...rounds.map(({ recoveryMs }) => recoveryMs))
  label('recovery', top + 13)
  label(`max ${seconds(max)}`, top + 29)
  for (const { faults: injected, recoveryMs } of rounds) {
    const repairedMs = Math.max(...injected.map(({ untilMs }) => untilMs))
    const time = { fromMs: repairedMs, untilMs: repairedMs + recoveryMs }
    const height = Math.max((recoveryMs / max) * (PLOT / 2), 2)
    const text = `recovered in ${seconds(recoveryMs)} after ${injected.map(titleOf).join(' and ')}`
    if (isShown(time)) bar(time, top + PLOT / 2 - height, height, { class: 'recovery' }, text)
  }
  return top + PLOT / 2
}

/** Draws the calls per second by response, and the commands per second that consumers applied or refused. */
function drawThroughput({ svg, label, bar, x, width }, top) {
  const { fromMs, untilMs } = shown
  const fits = (ms) => x(fromMs + ms) - x(fromMs) >= BUCKET_MIN_PX
  const bucketMs = BUCKETS_MS.find(fits) ?? BUCKETS_MS.at(-1)
  const first = Math.floor(fromMs / bucketMs)
  const count = Math.floor(untilMs / bucketMs) - first + 1
  const buckets = Array.from({ length: count }, () => ({ accepted: 0, refused: 0, unanswered: 0, decided: 0 }))
  for (const { untilMs: atMs, answered } of calls) {
    const bucket = buckets[Math.floor(atMs / bucketMs) - first]
    if (bucket) bucket[classOf(answered)] += 1
  }
  for (const { atMs } of decisions) {
    const bucket = buckets[Math.floor(atMs / bucketMs) - first]
    if (bucket) bucket.decided += 1
  }
  const max = Math.max(
    1,
    ...buckets.map(({ accepted, refused, unanswered, decided }) => Math.max(accepted + refused + unanswered, decided)),
  )
  const perSecond = (each) => ((each * 1_000) / bucketMs).toFixed(0)
  label('per second', top + 13)
  label(`max ${perSecond(max)}`, top + 29)
  const height = (each) => (each / max) * PLOT
  for (const [index, bucket] of buckets.entries()) {
    const time = { fromMs: (first + index) * bucketMs, untilMs: (first + index + 1) * bucketMs }
    const text = Object.entries(bucket).map(([name, each]) => `${name} ${perSecond(each)}/s`)
    let bottom = top + PLOT
    for (const name of ['accepted', 'refused', 'unanswered']) {
      if (bucket[name] === 0) continue
      bottom -= height(bucket[name])
      bar(time, bottom, height(bucket[name]), { class: name }, `from ${seconds(time.fromMs)}: ${text.join(', ')}`)
    }
  }
  const points = buckets
    .map(({ decided }, index) => [x((first + index + 0.5) * bucketMs), top + PLOT - height(decided)])
    .filter(([px]) => px >= GUTTER && px <= width)
  draw(svg, 'polyline', { points: points.map((point) => point.join()).join(' '), class: 'decided' })
  return top + PLOT
}

/** Draws a bar for each call, if there are few enough to distinguish. */
function drawCalls({ label, bar, isShown }, top) {
  const some = calls.filter(isShown).sort((one, other) => one.fromMs - other.fromMs)
  label('calls', top + 13)
  if (some.length > CALLS_DRAWN_MAX) {
    label(`${some.length}: zoom in`, top + 29)
    return top + 36
  }
  const freeMs = []
  for (const call of some) {
    let lane = freeMs.findIndex((ms) => ms <= call.fromMs)
    if (lane < 0) lane = freeMs.length
    freeMs[lane] = call.untilMs
    const { message, answered } = call
    bar(
      call,
      top + lane * 8,
      6,
      {
        class: `call ${classOf(answered)}${message === chosen ? ' chosen' : ''}${accused.has(message) ? ' accused' : ''}`,
        'data-message': message.index,
        click: () => choose(message),
      },
      `${nameOf(message)}: ${answered}`,
    )
  }
  return top + Math.max(freeMs.length * 8, 36)
}

function drawAxis({ svg, x, width }, top) {
  const { fromMs, untilMs } = shown
  const wantedMs = (untilMs - fromMs) / Math.max((width - GUTTER) / 90, 1)
  const stepMs = [100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000].find((ms) => ms >= wantedMs) ?? 60_000
  for (let ms = Math.ceil(fromMs / stepMs) * stepMs; ms <= untilMs; ms += stepMs) {
    draw(svg, 'line', { x1: x(ms), x2: x(ms), y1: 0, y2: top + 4, class: 'grid' })
    draw(svg, 'text', { x: x(ms), y: top + 18, 'text-anchor': 'middle', class: 'label' }, seconds(ms))
  }
}

function zoomByDragging(svg, msOf) {
  let startPx
  const pxOf = ({ clientX }) => clientX - svg.getBoundingClientRect().left
  svg.addEventListener('pointerdown', (event) => {
    startPx = pxOf(event)
  })
  svg.addEventListener('pointerup', (event) => {
    const [left, right] = [startPx, pxOf(event)].sort((one, other) => one - other)
    if (right - left > 8) show(msOf(left), msOf(right))
  })
}

function show(fromMs, untilMs) {
  shown = { fromMs: Math.max(0, fromMs), untilMs: Math.min(endedMs, Math.max(untilMs, fromMs + 100)) }
  drawTimeLine()
  listMessages()
}

const zoom = ({ fromMs, untilMs }) => show(fromMs - AROUND_MS, untilMs + AROUND_MS)

function scale(factor, shift = 0) {
  const { fromMs, untilMs } = shown
  const half = ((untilMs - fromMs) * factor) / 2
  const middle = (fromMs + untilMs) / 2 + (untilMs - fromMs) * shift
  const kept = Math.min(Math.max(middle, half), Math.max(endedMs - half, half))
  show(kept - half, kept + half)
}

byId('zoom').prepend(
  button('Whole run', () => show(0, endedMs)),
  button('Zoom in', () => scale(0.5)),
  button('Zoom out', () => scale(2)),
  button('Earlier', () => scale(1, -0.5)),
  button('Later', () => scale(1, 0.5)),
)

// ---- faults and recovery

byId('rounds').append(
  ...rounds.map((round) =>
    el(
      'tr',
      {},
      el(
        'td',
        {},
        button(seconds(round.atMs), () => zoom({ fromMs: round.atMs, untilMs: round.endedMs })),
      ),
      el('td', {}, round.faults.map(titleOf).join(' + ')),
      el('td', { class: 'number' }, seconds(round.recoveryMs)),
    ),
  ),
)
byId('kinds').append(
  ...[...Map.groupBy(faults, ({ kind }) => kind)].sort().map(([kind, all]) => {
    const took = rounds
      .filter((round) => round.faults.some((fault) => fault.kind === kind))
      .map(({ recoveryMs }) => recoveryMs)
      .sort((one, other) => one - other)
    const cells = [all.length, all.filter(({ tookEffect }) => tookEffect).length]
    const times = [took[Math.floor(took.length / 2)], took.at(-1)].map((ms) => seconds(ms))
    return el(
      'tr',
      {},
      el('td', {}, kind),
      ...[...cells, ...times].map((cell) => el('td', { class: 'number' }, `${cell}`)),
    )
  }),
)

// ---- messages

const FILTERS = {
  'all messages': () => true,
  'with a violation': (message) => accused.has(message),
  'with a dead letter': ({ deadLetters }) => deadLetters > 0,
  'with an unknown outcome': ({ answer }) => answer === 'unknown',
  'not accepted': ({ answer }) => answer === 'not accepted',
  'sent more than once': (message) => message.calls.length > 1,
}
byId('filter').append(...Object.keys(FILTERS).map((name) => el('option', {}, name)))

function listMessages() {
  const word = byId('word').value.trim().toLowerCase()
  const { fromMs, untilMs } = shown
  const found = messages.filter(
    (message) =>
      FILTERS[byId('filter').value](message) &&
      (message.calls.length === 0 || message.calls.some((call) => call.fromMs <= untilMs && call.untilMs >= fromMs)) &&
      [message.id, message.sku, message.messageId].some((text) => text?.toLowerCase().includes(word)),
  )
  byId('messages').replaceChildren(
    ...found.slice(0, LISTED_MAX).map((message) => {
      const text = `${seconds(message.calls[0]?.fromMs ?? 0, 3)} ${nameOf(message)}: ${message.calls.at(-1)?.answered ?? 'never sent'}`
      return el(
        'li',
        {},
        button(text, () => choose(message), accused.has(message) ? { class: 'bad' } : {}),
      )
    }),
  )
  byId('count').textContent =
    `${found.length} messages${found.length > LISTED_MAX ? `, the first ${LISTED_MAX} of them` : ''}`
}

function choose(message, { zoom: isZoomed = false } = {}) {
  chosen = message
  const times = message.calls.flatMap(({ fromMs, untilMs }) => [fromMs, untilMs])
  const time = { fromMs: Math.min(...times), untilMs: Math.max(...times) }
  const steps = [
    ...message.calls.map(({ fromMs, untilMs, answered }) => ({
      atMs: fromMs,
      text: `sent; after ${seconds(untilMs - fromMs, 3)}: ${answered}`,
    })),
    ...message.events,
    ...faults
      .filter(({ fromMs, untilMs }) => fromMs < time.untilMs + AROUND_MS && untilMs > time.fromMs - AROUND_MS)
      .flatMap((fault) => [
        { atMs: fault.fromMs, text: `fault begins: ${titleOf(fault)}` },
        { atMs: fault.untilMs, text: `fault repaired: ${fault.kind}` },
      ]),
    ...violations
      .filter((each) => each.message === message.index)
      .map((each) => ({ text: `${each.what}: ${each.text}`, isBad: true })),
  ].sort((one, other) => (one.atMs ?? Number.MAX_VALUE) - (other.atMs ?? Number.MAX_VALUE))
  const { kind, queue, id, sku, messageId, answer, reported } = message
  const facts = {
    kind,
    queue,
    id,
    sku,
    'message id': messageId,
    'known to its sender': answer,
    'reported to its sender': reported,
  }
  const others = messages.filter((other) => other !== message && sku !== undefined && other.sku === sku)
  byId('history').replaceChildren(
    el('h2', {}, `Message ${id}`),
    el(
      'p',
      {},
      Object.entries(facts)
        .filter(([, value]) => value !== undefined)
        .map(([name, value]) => `${name} ${value}`)
        .join(', '),
    ),
    el(
      'table',
      {},
      el('thead', {}, el('tr', {}, el('th', { scope: 'col' }, 'When'), el('th', { scope: 'col' }, 'What happened'))),
      el(
        'tbody',
        {},
        ...steps.map(({ atMs, text, isBad }) =>
          el(
            'tr',
            isBad ? { class: 'bad' } : {},
            el('td', { class: 'number' }, atMs === undefined ? 'at the end' : seconds(atMs, 3)),
            el('td', {}, text),
          ),
        ),
      ),
    ),
    ...(others.length === 0
      ? []
      : [
          el('h3', {}, 'Other messages with this sku'),
          el(
            'ul',
            { class: 'scroll', tabindex: 0, 'aria-label': 'Other messages with this sku' },
            ...others.map((other) =>
              el(
                'li',
                {},
                button(nameOf(other), () => choose(other)),
              ),
            ),
          ),
        ]),
  )
  byId('history').hidden = false
  if (isZoomed) zoom(time)
  else drawTimeLine()
  byId('history').scrollIntoView({ block: 'nearest' })
}

byId('word').addEventListener('input', listMessages)
byId('filter').addEventListener('change', listMessages)
addEventListener('resize', drawTimeLine)
drawTimeLine()
listMessages()
