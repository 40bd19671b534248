// CSV files of Excel and other programs: the rows, their line numbers, and the errors.
import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { csvRows } from '../src/items-file/csv-rows.ts'
import { guarded, unguarded } from '../src/items-file/formula.ts'
import { itemOf, keyOf, ROW_MAX_BYTES } from '../src/items-file/row.ts'
import { utf8Of } from '../src/items-file/text-of.ts'

/** Splits `bytes` into chunks. A reader must not depend on where a chunk ends. */
async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

const HEADER = 'sku,name,label,price,quantity'
const apple = { sku: 'A', name: 'Apple', label: 'fruit', price: 1.5, quantity: 3 }

async function read(content: string | Buffer, { pieces = 65_536, encoding = undefined as string | undefined } = {}) {
  const warnings: string[] = []
  const { chunks, hasMark } = await utf8Of(inPieces(Buffer.from(content), pieces), encoding)
  const reader = await csvRows(chunks, (line) => warnings.push(line))
  const rows: object[] = []
  for await (const row of reader.rows) rows.push({ line: row.line, ...itemOf(row) })
  return { rows, warnings, hasMark, delimiter: reader.delimiter }
}

const rowsOf = async (content: string | Buffer, options = {}) => (await read(content, options)).rows
const oneApple = [{ line: 2, item: apple }]

describe('the reader of CSV files', () => {
  it.each([
    ['plain', `${HEADER}\nA,Apple,fruit,1.5,3\n`],
    ['without a line break at the end', `${HEADER}\nA,Apple,fruit,1.5,3`],
    ['with CRLF', `${HEADER}\r\nA,Apple,fruit,1.5,3\r\n`],
    ['with CR', `${HEADER}\rA,Apple,fruit,1.5,3\r`],
    ['with a byte order mark', `\ufeff${HEADER}\nA,Apple,fruit,1.5,3\n`],
    ['with semicolons and a decimal comma', 'sku;name;label;price;quantity\nA;Apple;fruit;1,50;3\n'],
    ['with tabs', 'sku\tname\tlabel\tprice\tquantity\nA\tApple\tfruit\t1.5\t3\n'],
    ['with column names in any case and order', 'Quantity, PRICE ,Label,Name,SKU\n3,1.5,fruit,Apple,A\n'],
    ['with quoted column names', '"sku","name","label","price","quantity"\n"A","Apple","fruit","1.5","3"\n'],
    ['with empty cells at the end', `${HEADER},,\nA,Apple,fruit,1.5,3,,\n`],
    ['with more empty cells than the header has', `${HEADER}\nA,Apple,fruit,1.5,3,,\n`],
    ['with empty lines at the end', `${HEADER}\nA,Apple,fruit,1.5,3\n\n\r\n`],
    ['with the columns of a file of rejected rows', `${HEADER},line,reason\nA,Apple,fruit,1.5,3,7,price: is missing\n`],
    [
      "as Excel's Unicode Text",
      Buffer.from(`\ufeff${HEADER.replaceAll(',', '\t')}\r\nA\tApple\tfruit\t1,5\t3\r\n`, 'utf16le'),
    ],
    ['as big-endian UTF-16', Buffer.from(`\ufeff${HEADER}\nA,Apple,fruit,1.5,3\n`, 'utf16le').swap16()],
  ])('reads a file in chunks of any size: %s', async (_, content) => {
    for (const pieces of [1, 2, 3, 7, 65_536]) expect(await rowsOf(content, { pieces })).toEqual(oneApple)
  })

  it('reads the delimiter from a line sep=, which counts as a line', async () => {
    const excel = 'sep=;\r\nsku;name;label;price;quantity\r\nA;"Apple, red";fruit;1,5;3\r\n'
    for (const pieces of [1, 65_536])
      expect(await rowsOf(excel, { pieces })).toEqual([{ line: 3, item: { ...apple, name: 'Apple, red' } }])
  })

  it('ignores delimiters inside quotes of the header', async () => {
    const { delimiter } = await read('sku,name,label,price,quantity,"a;b;c;d;e;f;g;h"\n')
    expect(delimiter).toBe(',')
  })

  it('returns the line on which a row begins, even after quoted line ends and empty lines', async () => {
    const content = `${HEADER}\nA,"Apple\nred",fruit,1.5,3\n\nB,"x\r\ny\r\n\rz",fruit,1.5,3\r\nC,Apple,fruit,x,3\n`
    for (const pieces of [1, 5, 65_536])
      expect(await rowsOf(content, { pieces })).toEqual([
        { line: 2, item: { ...apple, name: 'Apple\nred' } },
        { line: 5, item: { ...apple, sku: 'B', name: 'x\r\ny\r\n\rz' } },
        { line: 9, reason: 'price: must be a number, or a decimal number in a string' },
      ])
  })

  it('names each invalid member of a row', async () => {
    const long = 'x'.repeat(101)
    expect(await rowsOf(`${HEADER}\n,${long},fruit,-1,1.5\nA\u0000,Apple,fruit,1.5,\n`)).toEqual([
      {
        line: 2,
        reason:
          'sku: must not be empty; name: must have at most 100 characters; price: must not be negative; quantity: must be a whole number',
      },
      {
        line: 3,
        reason: expect.stringMatching(/^sku: must not contain the character U\+0000; .*quantity: must be a number/),
      },
    ])
  })

  it('rejects a row with too few or too many cells', async () => {
    expect(await rowsOf(`${HEADER}\nA,Apple,fruit,1.5\nA,Apple,fruit,1,5,3\nA,Apple,fruit,1.5,3\n`)).toEqual([
      { line: 2, reason: 'the row has 4 cells, the header 5' },
      { line: 3, reason: 'the row has 6 cells, the header 5' },
      { line: 4, item: apple },
    ])
  })

  it('rejects a row that is not valid UTF-8, unless its encoding is given', async () => {
    const latin = Buffer.from(`${HEADER}\nA,Caf\u00e9,fruit,1.5,3\nB,Apple,fruit,1.5,3\n`, 'latin1')
    expect(await rowsOf(latin)).toEqual([
      { line: 2, reason: 'the row is not valid UTF-8: see --encoding' },
      { line: 3, item: { ...apple, sku: 'B' } },
    ])
    expect(await rowsOf(latin, { encoding: 'windows-1252' })).toMatchObject([{ item: { name: 'Caf\u00e9' } }, {}])
  })

  it('reads a quote in an unquoted cell as text, and rejects only the row whose quotes are malformed', async () => {
    const content = `${HEADER}\nA,TV 5",fruit,1.5,3\nB,"5" TV",fruit,1.5,3\nC,"""big""",fruit,1.5,3\nD,Apple,fruit,1.5,3\n`
    for (const pieces of [1, 65_536])
      expect(await rowsOf(content, { pieces })).toEqual([
        { line: 2, item: { ...apple, name: 'TV 5"' } },
        { line: 3, reason: 'a quote inside a quoted cell is not doubled, or a quoted cell is not closed' },
        { line: 4, item: { ...apple, sku: 'C', name: '"big"' } },
        { line: 5, item: { ...apple, sku: 'D' } },
      ])
  })

  it('warns about columns that are not imported', async () => {
    const { warnings, rows } = await read(`id,${HEADER},Colour,line\n1,A,Apple,fruit,1.5,3,red,9\n`)
    expect(warnings).toEqual(['columns that are not imported: id, Colour'])
    expect(rows).toEqual(oneApple)
  })

  it('rejects a decimal comma when the delimiter is a comma', async () => {
    expect(await rowsOf(`${HEADER}\nA,Apple,fruit,"1,5",3\n`)).toMatchObject([
      { reason: expect.stringContaining('price') },
    ])
  })

  it.each([
    ['', 'the file is empty'],
    ['sku,name,price\nA,Apple,1\n', 'label, quantity not found'],
    [`${HEADER},SKU\n`, 'names a column twice: sku'],
    [`${HEADER}\nA,"Apple`, 'line 2: a quoted cell is not closed. Nothing from this line on was read'],
    [`x${' '.repeat(ROW_MAX_BYTES)}`, `the first line of the file has more than ${ROW_MAX_BYTES} bytes`],
    ['\ufeff', 'the file is empty'],
  ])('rejects the whole file %.20j', async (content, why) => {
    await expect(read(content)).rejects.toThrow(why)
  })

  it('returns no rows for a file that has only a header', async () => {
    expect(await rowsOf(HEADER)).toEqual([])
  })

  it.each([
    ['"', 'x'],
    ['', ','],
  ])('stops reading a row that never ends and begins with %j', async (begin, filling) => {
    let sent = 0
    async function* endless(): AsyncGenerator<Buffer> {
      yield Buffer.from(`${HEADER}\nA,Apple,fruit,1.5,3\nB,${begin}`)
      for (const piece = Buffer.alloc(65_536, filling); ; sent += piece.length) yield piece
    }
    const { rows } = await csvRows(endless())
    const seen: number[] = []
    const all = async () => {
      for await (const { line } of rows) seen.push(line)
    }
    await expect(all()).rejects.toThrow(`line 3: the row has more than ${ROW_MAX_BYTES} bytes`)
    expect(seen).toEqual([2])
    expect(sent).toBeLessThan(10 * ROW_MAX_BYTES)
  })
})

describe('a text that a spreadsheet would run as a formula', () => {
  const text = fc.stringMatching(/^['=+\-@\t\r\n\uff1da ]{0,5}.?$/)

  it('does not begin like a formula in its cell, and is read back unchanged', () => {
    fc.assert(
      fc.property(text, (each) => {
        expect(unguarded(guarded(each))).toBe(each)
        expect(/^[=+\-@\t\r\n]/.test(guarded(each))).toBe(false)
      }),
    )
  })
})

describe('the key of a row', () => {
  it('depends only on the content and the run', () => {
    const other = { quantity: 3, price: 1.5, label: 'fruit', name: 'Apple', sku: 'A' }
    expect(keyOf(other, '')).toBe(keyOf(apple, ''))
    const others = [keyOf({ ...apple, price: 1.6 }, ''), keyOf(apple, 'again')]
    expect(new Set([keyOf(apple, ''), ...others]).size).toBe(3)
    expect(keyOf(apple, '')).toMatch(/^"[!#-~]+"$/)
  })
})
