// The page /docs: shows the OpenAPI document.
import { render } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { call } from './api.js'
import { html } from './html.js'

const resolve = (whole, part) =>
  part?.$ref
    ? part.$ref
        .slice(2)
        .split('/')
        .reduce((at, name) => at?.[name.replaceAll('~1', '/').replaceAll('~0', '~')], whole)
    : part

/** The methods that the page shows. It omits OPTIONS and HEAD. */
const SHOWN = new Set(['get', 'post', 'put', 'patch', 'delete'])

function typeOf(whole, given) {
  const schema = resolve(whole, given) ?? {}
  const rules = Object.entries({ minLength: 'at least', maxLength: 'at most', minimum: 'from', maximum: 'to' })
    .filter(([rule]) => schema[rule] !== undefined)
    .map(([rule, word]) => `${word} ${schema[rule]}${rule.endsWith('Length') ? ' characters' : ''}`)
  const type =
    schema.const !== undefined
      ? JSON.stringify(schema.const)
      : schema.enum
        ? schema.enum.join(' | ')
        : schema.anyOf || schema.oneOf
          ? (schema.anyOf ?? schema.oneOf).map((each) => typeOf(whole, each)).join(' or ')
          : schema.type === 'array'
            ? `array of ${typeOf(whole, schema.items)}`
            : [schema.type].flat().filter(Boolean).join(' or ')
  return [type || 'any', ...rules].join(', ')
}

function membersOf(whole, given) {
  const schema = resolve(whole, given) ?? {}
  const parts = (schema.allOf ?? []).map((part) => membersOf(whole, part))
  const own =
    schema.type === 'array'
      ? membersOf(whole, schema.items)
      : { properties: schema.properties ?? {}, required: schema.required ?? [] }
  return {
    properties: Object.assign({}, ...parts.map(({ properties }) => properties), own.properties),
    required: [...parts.flatMap(({ required }) => required), ...own.required],
  }
}

function Members({ whole, schema, caption }) {
  const { properties, required } = membersOf(whole, schema)
  const rows = Object.entries(properties)
  if (rows.length === 0) return html`<p>${caption}: ${typeOf(whole, schema)}</p>`
  return html`<table><caption>${caption}</caption>
    <thead><tr><th scope="col">Member</th><th scope="col">Type</th><th scope="col">Description</th></tr></thead>
    <tbody>${rows.map(([name, given]) => {
      const member = resolve(whole, given)
      return html`<tr><td><code>${name}</code>${required.includes(name) && ' (required)'}</td><td>${typeOf(whole, given)}</td><td>${given.description ?? member?.description}</td></tr>`
    })}</tbody></table>`
}

function examplesOf(whole, media) {
  const schema = resolve(whole, media?.schema)
  const given = media?.example ?? Object.values(media?.examples ?? {})[0]?.value ?? schema?.examples?.[0]
  return given === undefined ? undefined : JSON.stringify(given, undefined, 2)
}

function Body({ whole, content, caption }) {
  return Object.entries(content ?? {}).map(([type, media]) => {
    const example = examplesOf(whole, media)
    return html`<${Members} whole=${whole} schema=${media.schema} caption="${caption} (${type})" />
      ${example && html`<pre tabindex="0" aria-label="Example">${example}</pre>`}`
  })
}

function Operation({ whole, path, method, operation }) {
  const parameters = (operation.parameters ?? []).map((each) => resolve(whole, each))
  const body = resolve(whole, operation.requestBody)
  return html`<section class="card" id=${operation.operationId} aria-labelledby="${operation.operationId}-title">
    <h3 id="${operation.operationId}-title"><span class="badge ${method}">${method.toUpperCase()}</span> <code>${path}</code></h3>
    <p>${operation.summary}. ${operation.description}</p>
    ${
      parameters.length > 0 &&
      html`<table><caption>Parameters</caption>
        <thead><tr><th scope="col">Name</th><th scope="col">In</th><th scope="col">Type</th><th scope="col">Description</th></tr></thead>
        <tbody>${parameters.map(
          (each) =>
            html`<tr><td><code>${each.name}</code>${each.required && ' (required)'}</td><td>${each.in}</td><td>${typeOf(whole, each.schema)}</td><td>${each.description ?? each.schema?.description}${each.example !== undefined && html`. Example: <code>${String(each.example)}</code>`}</td></tr>`,
        )}</tbody></table>`
    }
    ${body && html`<${Body} whole=${whole} content=${body.content} caption="Body" />`}
    ${Object.entries(operation.responses).map(([status, given]) => {
      const answer = resolve(whole, given)
      return html`<details><summary><strong>${status}</strong> ${answer.description}</summary><${Body} whole=${whole} content=${answer.content} caption="Response" /></details>`
    })}
  </section>`
}

function Documentation() {
  const [whole, setWhole] = useState(undefined)
  const [detail, setDetail] = useState('Loading…')
  useEffect(() => {
    call('/openapi.json').then(({ ok, body, detail: why }) => (ok ? setWhole(body) : setDetail(why)))
  }, [])
  if (whole === undefined) return html`<main><h1>API</h1><p role="status">${detail}</p></main>`
  const groups = Map.groupBy(
    Object.entries(whole.paths).flatMap(([path, methods]) =>
      Object.entries(methods)
        .filter(([method]) => SHOWN.has(method))
        .map(([method, operation]) => ({ path, method, operation })),
    ),
    ({ operation }) => operation.tags?.[0] ?? 'Other',
  )
  return html`<header><p class="brand">IMS</p><nav aria-label="Pages"><a href="/">Console</a><a href="/openapi.json">openapi.json</a></nav></header>
    <main class="documentation">
      <h1>${whole.info.title}: API ${whole.info.version}</h1>
      <p>${whole.info.description}</p>
      <nav aria-label="Operations"><ul>${[...groups.values()]
        .flat()
        .map(
          ({ path, method, operation }) =>
            html`<li><a href="#${operation.operationId}"><code>${method.toUpperCase()} ${path}</code></a> ${operation.summary}</li>`,
        )}</ul></nav>
      ${[...groups].map(([tag, operations]) => html`<h2>${tag}</h2>${operations.map((each) => html`<${Operation} key=${each.operation.operationId} whole=${whole} ...${each} />`)}`)}
    </main>`
}

render(html`<${Documentation} />`, document.getElementById('documentation'))
