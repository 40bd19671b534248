// Spreadsheets run a cell that begins with = + - @ as a formula. In CSV files an apostrophe in front of such a text prevents that.

/** What a spreadsheet takes for a formula, also in full-width form, and what it skips before one. */
const BEGINS_FORMULA = /^'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/
const GUARDED = /^'+[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/

/** `text` as a cell that no spreadsheet runs. `unguarded` restores it exactly: a text that already has the apostrophe gets one more. */
export const guarded = (text: string): string => (BEGINS_FORMULA.test(text) ? `'${text}` : text)

/** The text that a cell means. */
export const unguarded = (cell: string): string => (GUARDED.test(cell) ? cell.slice(1) : cell)
