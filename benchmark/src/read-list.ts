// Reads a list over HTTP without storing it, and measures the time to its first byte and to its end.
import { get } from 'node:http'

export interface ListRead {
  readonly items: number
  readonly firstByteMs: number
  readonly totalMs: number
}

const OPENING = Buffer.from('{')

/** Resolves after the end of the list. Rejects if the status is not 200, or if the body does not end with `]`. */
export function readList(url: string): Promise<ListRead> {
  return new Promise((resolve, reject) => {
    const sinceMs = performance.now()
    get(url, { agent: false }, (response) => {
      let firstByteMs = Number.NaN
      let items = 0
      let last = ''
      if (response.statusCode !== 200) return reject(new Error(`${url}: status ${response.statusCode}`))
      response.on('data', (chunk: Buffer) => {
        if (Number.isNaN(firstByteMs)) firstByteMs = performance.now() - sinceMs
        for (let at = chunk.indexOf(OPENING); at >= 0; at = chunk.indexOf(OPENING, at + 1)) items += 1
        last = chunk.toString('latin1', chunk.length - 1)
      })
      response.once('error', reject)
      response.once('end', () => {
        if (last !== ']') return reject(new Error(`${url}: the list is incomplete`))
        resolve({ items, firstByteMs, totalMs: performance.now() - sinceMs })
      })
    }).once('error', reject)
  })
}
