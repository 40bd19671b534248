// Spreadsheets run a cell that begins with = + - @ as a formula. In CSV files, an apostrophe before such a text prevents that.

/** The characters that begin a formula, in ASCII or full-width form, and characters that a spreadsheet skips before a formula. */
const BEGINS_FORMULA = /^'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/
const GUARDED = /^'+[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/

/** `text` as a cell that no spreadsheet runs. `unguarded` restores it exactly, because a text such as '=1 gets a second apostrophe. */
export const guarded = (text: string): string => (BEGINS_FORMULA.test(text) ? `'${text}` : text)

/** The original text of a cell. */
export const unguarded = (cell: string): string => (GUARDED.test(cell) ? cell.slice(1) : cell)
