// The required form of each column: checks an existing one, and says how to fix it.
import type { Column } from './schema-found.ts'

type Verdict = { readonly says: string; readonly mend?: string | 'convert prices' } | undefined
/** The required form of a column, in words, and a check of an existing one. `collation` is the server's bytewise one. */
export interface Wanted {
  readonly as: string
  readonly judge: (found: Column, collation: string) => Verdict
  /** A migration adds it to a table that an earlier one created. */
  readonly isAdded?: boolean
}

const MYSQL_PRECISION_MAX = 65

const nullness = ({ nullable }: Column) => (nullable ? 'NULL' : 'NOT NULL')

/** An operator may have made it BIGINT or UNSIGNED. A narrower one becomes INT, as Python creates it. */
export function identity(): Wanted {
  const as = 'INT or BIGINT, AUTO_INCREMENT'
  return {
    as,
    judge: ({ data, type, extra }) => {
      if (!/int$/.test(data)) return { says: type }
      if (/^(int|bigint)$/.test(data) && /auto_increment/i.test(extra)) return undefined
      const becomes = data === 'bigint' || /unsigned/.test(type) ? 'BIGINT UNSIGNED' : 'INT'
      return { says: `${type} ${extra}`.trim(), mend: `${becomes} NOT NULL AUTO_INCREMENT` }
    },
  }
}

export function exactText(length: number, { isKey = false } = {}): Wanted {
  return {
    as: `VARCHAR(${length}) that compares byte for byte`,
    judge: (found, collation) => {
      const { data, type } = found
      const isLong = /^(text|mediumtext|longtext)$/.test(data) && !isKey
      if (!isLong && !/^(char|varchar|tinytext)$/.test(data)) return { says: type }
      const isWide = isLong || (data === 'varchar' && (found.length ?? 0) >= length)
      if (isWide && found.collation === collation) return undefined
      const becomes = isLong ? type : `VARCHAR(${Math.max(length, found.length ?? 0)})`
      return {
        says: `${type} with collation ${found.collation}`,
        mend: `${becomes} CHARACTER SET utf8mb4 COLLATE ${collation} ${nullness(found)}`,
      }
    },
  }
}

export function text(length: number): Wanted {
  return {
    as: `VARCHAR(${length})`,
    judge: (found) => {
      if (!/^(char|varchar)$/.test(found.data)) return { says: found.type }
      if ((found.length ?? 0) >= length) return undefined
      return { says: found.type, mend: `VARCHAR(${length}) COLLATE ${found.collation} ${nullness(found)}` }
    },
  }
}

export function bytes(length: number): Wanted {
  return {
    as: `VARBINARY(${length})`,
    judge: (found) => {
      if (found.data !== 'varbinary') return { says: found.type }
      if ((found.length ?? 0) >= length) return undefined
      return { says: found.type, mend: `VARBINARY(${length}) ${nullness(found)}` }
    },
  }
}

export function decimal(precision: number, scale: number): Wanted {
  return {
    as: `DECIMAL(${precision},${scale})`,
    judge: (found) => {
      const { data, type, digits, decimals } = found
      if (/int$|^(float|double)$/.test(data)) return { says: type, mend: 'convert prices' }
      if (data !== 'decimal' || digits === null || decimals === null) return { says: type }
      const before = Math.max(digits - decimals, precision - scale)
      const after = Math.max(decimals, scale)
      if (digits === before + after && decimals === after && !/unsigned/.test(type)) return undefined
      if (before + after > MYSQL_PRECISION_MAX) return { says: type }
      return { says: type, mend: `DECIMAL(${before + after},${after}) ${nullness(found)}` }
    },
  }
}

export function integer(): Wanted {
  return {
    as: 'INT',
    judge: (found) => {
      const { data, type } = found
      if (!/int$/.test(data)) return { says: type }
      const isUnsigned = /unsigned/.test(type)
      if (/^(int|bigint)$/.test(data) && !isUnsigned) return undefined
      if (data === 'bigint') return { says: type }
      return { says: type, mend: `${data === 'int' ? 'BIGINT' : 'INT'} ${nullness(found)}` }
    },
  }
}

export function timeOfInsert(fraction: number): Wanted {
  const as = `DATETIME(${fraction}) DEFAULT CURRENT_TIMESTAMP(${fraction})`
  return {
    as,
    judge: (found) => {
      if (found.data !== 'datetime') return { says: found.type }
      const isSet = /current_timestamp/i.test(found.initial ?? '')
      if ((found.fraction ?? 0) >= fraction && isSet) return undefined
      const says = `${found.type}${isSet ? '' : ' without that default'}`
      return { says, mend: `DATETIME(${fraction}) ${nullness(found)} DEFAULT CURRENT_TIMESTAMP(${fraction})` }
    },
  }
}
