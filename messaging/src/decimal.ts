// Parses decimal numbers exactly, from JSON numbers or strings. Rounds prices half to even, and accepts only whole quantities.

const PRICE_DECIMALS = 4
const PRICE_UNITS = 10 ** PRICE_DECIMALS

/** The strings that MySQL and MariaDB convert to a number without a warning. The pattern can match in only one way, so matching takes linear time. */
const DECIMAL = /^[ \t\n\r]*([+-]?)(?:(\d+)(?:\.(\d*))?|\.(\d+))(?:[eE]([+-]?\d+))?[ \t\n\r]*$/

/** 0.`digits` × 10^`point`. `digits` has no leading zero; it is empty for zero. */
interface Decimal {
  readonly negative: boolean
  readonly digits: string
  readonly point: number
}

/**
 * `value` rounded half to even to 4 decimals; undefined if it is not a decimal number. A JavaScript number is read as its shortest
 * decimal text: 0.1 + 0.2 becomes 0.3. -0 becomes 0; any other negative number stays negative, however small.
 */
export function toPrice(value: unknown): number | undefined {
  if (typeof value === 'number' && Number(value.toFixed(PRICE_DECIMALS)) === value) return value + 0
  const decimal = decimalOf(value)
  if (decimal === undefined) return undefined
  const units = decimal.digits === '' ? 0 : roundedUnits(decimal)
  // The quotient of two integers is the double nearest to the decimal, as when its text is parsed.
  return decimal.negative ? -Math.max(units, 1) / PRICE_UNITS : units / PRICE_UNITS
}

/** `value` as a whole number: "50.0" is 50. NaN if it has a fraction, undefined if it is not a decimal number. */
export function toWhole(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isInteger(value) ? value + 0 : Number.NaN
  const decimal = decimalOf(value)
  if (decimal === undefined) return undefined
  const { negative, digits, point } = decimal
  if (digits === '') return 0
  if (point <= 0 || /[1-9]/.test(digits.slice(point))) return Number.NaN
  const whole = integerOf(digits, point)
  return negative ? -whole : whole
}

function decimalOf(value: unknown): Decimal | undefined {
  if (typeof value !== 'number' && typeof value !== 'string') return undefined
  const match = DECIMAL.exec(String(value))
  if (match === null) return undefined
  const [, sign, whole = '', fraction = '', onlyFraction = '', exponent = '0'] = match
  const all = whole + fraction + onlyFraction
  const start = all.search(/[1-9]/)
  if (start === -1) return { negative: false, digits: '', point: 0 }
  return { negative: sign === '-', digits: all.slice(start), point: whole.length - start + Number(exponent) }
}

/** More digits than the integer part of any double has. */
const DIGITS_MAX = 400

/** The first `length` digits, padded with zeros. */
function integerOf(digits: string, length: number): number {
  const bounded = Math.min(length, DIGITS_MAX)
  return Number(digits.slice(0, bounded).padEnd(bounded, '0'))
}

/** The price in units of 1/10000. Exact if it fits its column, otherwise larger than the maximum of the column. */
function roundedUnits({ digits, point }: Decimal): number {
  const kept = point + PRICE_DECIMALS
  if (kept < 0) return 0
  const units = integerOf(digits, kept)
  const rest = digits.slice(kept)
  const isTie = /^50*$/.test(rest)
  const isUp = isTie ? units % 2 === 1 : rest >= '5'
  return isUp ? units + 1 : units
}
