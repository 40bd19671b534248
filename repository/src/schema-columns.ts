// The required type of each column: checks an existing column, and returns the change that fixes it.
import type { Column } from './schema-found.ts'

type Verdict = { readonly actual: string; readonly repair?: string | 'convert prices' } | undefined
/** The required type of a column, in words, and a check of an existing column. `collation` is the server's bytewise collation. */
export interface Wanted {
  readonly as: string
  readonly judge: (found: Column, collation: string) => Verdict
  /** True if a migration adds the column to a table that an earlier migration created. */
  readonly isAdded?: boolean
}

const MYSQL_PRECISION_MAX = 65

const nullness = ({ nullable }: Column) => (nullable ? 'NULL' : 'NOT NULL')

/**
 * A column `id`: INT or BIGINT, signed or unsigned, with AUTO_INCREMENT. Any other integer column becomes INT, as in the
 * Python suite, or BIGINT UNSIGNED if it is BIGINT or unsigned.
 */
export function identity(): Wanted {
  const as = 'INT or BIGINT, AUTO_INCREMENT'
  return {
    as,
    judge: ({ data, type, extra }) => {
      if (!/int$/.test(data)) return { actual: type }
      if (/^(int|bigint)$/.test(data) && /auto_increment/i.test(extra)) return undefined
      const becomes = data === 'bigint' || /unsigned/.test(type) ? 'BIGINT UNSIGNED' : 'INT'
      return { actual: `${type} ${extra}`.trim(), repair: `${becomes} NOT NULL AUTO_INCREMENT` }
    },
  }
}

export function exactText(length: number, { isKey = false } = {}): Wanted {
  return {
    as: `VARCHAR(${length}) that compares byte for byte`,
    judge: (found, collation) => {
      const { data, type } = found
      const isLong = /^(text|mediumtext|longtext)$/.test(data) && !isKey
      if (!isLong && !/^(char|varchar|tinytext)$/.test(data)) return { actual: type }
      const isWide = isLong || (data === 'varchar' && (found.length ?? 0) >= length)
      if (isWide && found.collation === collation) return undefined
      const becomes = isLong ? type : `VARCHAR(${Math.max(length, found.length ?? 0)})`
      return {
        actual: `${type} with collation ${found.collation}`,
        repair: `${becomes} CHARACTER SET utf8mb4 COLLATE ${collation} ${nullness(found)}`,
      }
    },
  }
}

export function text(length: number): Wanted {
  return {
    as: `VARCHAR(${length})`,
    judge: (found) => {
      if (!/^(char|varchar)$/.test(found.data)) return { actual: found.type }
      if ((found.length ?? 0) >= length) return undefined
      return { actual: found.type, repair: `VARCHAR(${length}) COLLATE ${found.collation} ${nullness(found)}` }
    },
  }
}

export function bytes(length: number): Wanted {
  return {
    as: `VARBINARY(${length})`,
    judge: (found) => {
      if (found.data !== 'varbinary') return { actual: found.type }
      if ((found.length ?? 0) >= length) return undefined
      return { actual: found.type, repair: `VARBINARY(${length}) ${nullness(found)}` }
    },
  }
}

export function decimal(precision: number, scale: number): Wanted {
  return {
    as: `DECIMAL(${precision},${scale})`,
    judge: (found) => {
      const { data, type, digits, decimals } = found
      if (/int$|^(float|double)$/.test(data)) return { actual: type, repair: 'convert prices' }
      if (data !== 'decimal' || digits === null || decimals === null) return { actual: type }
      const before = Math.max(digits - decimals, precision - scale)
      const after = Math.max(decimals, scale)
      if (digits === before + after && decimals === after && !/unsigned/.test(type)) return undefined
      if (before + after > MYSQL_PRECISION_MAX) return { actual: type }
      return { actual: type, repair: `DECIMAL(${before + after},${after}) ${nullness(found)}` }
    },
  }
}

export function integer(): Wanted {
  return {
    as: 'INT',
    judge: (found) => {
      const { data, type } = found
      if (!/int$/.test(data)) return { actual: type }
      const isUnsigned = /unsigned/.test(type)
      if (/^(int|bigint)$/.test(data) && !isUnsigned) return undefined
      if (data === 'bigint') return { actual: type }
      return { actual: type, repair: `${data === 'int' ? 'BIGINT' : 'INT'} ${nullness(found)}` }
    },
  }
}

export function timeOfInsert(fraction: number): Wanted {
  const as = `DATETIME(${fraction}) DEFAULT CURRENT_TIMESTAMP(${fraction})`
  return {
    as,
    judge: (found) => {
      if (found.data !== 'datetime') return { actual: found.type }
      const isSet = /current_timestamp/i.test(found.initial ?? '')
      if ((found.fraction ?? 0) >= fraction && isSet) return undefined
      const actual = `${found.type}${isSet ? '' : ' without that default'}`
      return { actual, repair: `DATETIME(${fraction}) ${nullness(found)} DEFAULT CURRENT_TIMESTAMP(${fraction})` }
    },
  }
}
