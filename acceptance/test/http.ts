// A small HTTP client for the tests, and items to create with it.

export const SEED_ITEM = {
  sku: 'IB123456789',
  name: 'Tropicana Apple Juice',
  label: 'juice',
  price: 25.0,
  quantity: 50,
}

export interface ParsedResponse {
  readonly status: number
  readonly headers: Headers
  readonly body: unknown
}

/** Sends JSON, or no body, and parses the JSON response. */
export async function call(
  url: string,
  options: { method?: string; json?: unknown; headers?: Record<string, string> } = {},
): Promise<ParsedResponse> {
  const { json, headers = {}, method = json === undefined ? 'GET' : 'POST' } = options
  const response = await fetch(url, {
    method,
    headers: { ...(json === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(json === undefined ? {} : { body: JSON.stringify(json) }),
  })
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) }
}

export const item = (n: number) => ({ sku: `SKU-${n}`, name: `Item ${n}`, label: 'test', price: n + 0.25, quantity: n })
