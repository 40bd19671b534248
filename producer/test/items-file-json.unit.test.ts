// Reads JSON and NDJSON item by item. An element that never ends is not kept in memory.
import { describe, expect, it } from '@jest/globals'
import { jsonRows } from '../src/items-file/json-rows.ts'
import { ndjsonRows } from '../src/items-file/ndjson-rows.ts'
import { itemOf, ROW_MAX_BYTES, type RowReader } from '../src/items-file/row.ts'

const apple = { sku: 'A', name: 'Apple', label: 'fruit', price: 1.5, quantity: 3 }

async function* inPieces(content: string | Buffer, size: number): AsyncGenerator<Buffer> {
  const bytes = Buffer.from(content)
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

async function rowsOf({ rows }: RowReader): Promise<object[]> {
  const read: object[] = []
  for await (const row of rows) read.push({ line: row.line, ...itemOf(row) })
  return read
}

const json = (content: string | Buffer, pieces = 65_536) => rowsOf(jsonRows(inPieces(content, pieces)))
const ndjson = (content: string | Buffer, pieces = 65_536) => rowsOf(ndjsonRows(inPieces(content, pieces)))

async function* endless(begin: string, filling: string): AsyncGenerator<Buffer> {
  yield Buffer.from(begin)
  for (const piece = Buffer.alloc(65_536, filling); ; ) yield piece
}

describe('the reader of JSON arrays', () => {
  it('reads an array element by element, in chunks of any size', async () => {
    const text = ` [ ${JSON.stringify(apple)},\n{"sku":"B"}, 5, null, [], {"sku":{"a":[1]},"name":"\\u00e4"}]\n\n`
    for (const pieces of [1, 7, 65_536])
      expect(await json(text, pieces)).toEqual([
        { line: 1, item: apple },
        { line: 2, reason: 'name: is missing; label: is missing; price: is missing; quantity: is missing' },
        { line: 3, reason: 'must be an object with the members of an item' },
        { line: 4, reason: 'must be an object with the members of an item' },
        { line: 5, reason: expect.any(String) },
        { line: 6, reason: expect.stringContaining('sku: ') },
      ])
    expect(await json('[]')).toEqual([])
  })

  it.each([
    ['', 'the JSON ends after element 0'],
    ['[{"sku":"A"},', 'the JSON ends after element 1'],
    ['[{"sku":"A"},x]', 'the file is not valid JSON after element 1'],
    ['[1] 2', 'not valid JSON after element 1'],
    ['{"a":{"sku":"A"}}', 'not a JSON array'],
    ['{}', 'not a JSON array'],
    ['5', 'not a JSON array'],
    [Buffer.from([0x5b, 0x22, 0xff, 0x22, 0x5d]), 'not valid'],
  ])('rejects %j', async (content, why) => {
    await expect(json(content)).rejects.toThrow(why)
  })

  it.each([
    ['["', 'x'],
    ['[{"a":"', 'x'],
    ['[', '['],
    ['[', ' '],
  ])('stops reading an element that never ends: %s', async (begin, filling) => {
    await expect(rowsOf(jsonRows(endless(begin, filling)))).rejects.toThrow(
      `element 1 has more than ${ROW_MAX_BYTES} bytes`,
    )
  })
})

describe('lines of JSON', () => {
  it('are read one by one, and a bad line does not affect the others', async () => {
    const bad = Buffer.concat([Buffer.from('"'), Buffer.from([0xff]), Buffer.from('"\n')])
    const text = Buffer.concat([
      Buffer.from(`${JSON.stringify(apple)}\r\n\n{x}\n`),
      bad,
      Buffer.from(`"${'x'.repeat(ROW_MAX_BYTES)}"\n${JSON.stringify(apple)}`),
    ])
    for (const pieces of [1, 1_000, 65_536, 1_000_000])
      expect(await ndjson(text, pieces)).toEqual([
        { line: 1, item: apple },
        { line: 3, reason: expect.stringContaining('the line is not valid JSON') },
        { line: 4, reason: 'the line is not valid UTF-8' },
        { line: 5, reason: `the line has more than ${ROW_MAX_BYTES} bytes` },
        { line: 6, item: apple },
      ])
    expect(await ndjson('')).toEqual([])
  })
})
