// All faults there are, and those that a mix names.
import { accountFaults } from './account.ts'
import { brokerFaults } from './broker.ts'
import { databaseFaults } from './database.ts'
import type { Fault } from './fault.ts'
import { momentFaults } from './moments.ts'
import { networkFaults } from './network.ts'
import { serviceFaults } from './services.ts'
import { settingsFaults } from './settings.ts'
import { statementFaults } from './statements.ts'

export const faults: readonly Fault[] = [
  ...serviceFaults,
  ...brokerFaults,
  ...databaseFaults,
  ...accountFaults,
  ...settingsFaults,
  ...statementFaults,
  ...networkFaults,
  ...momentFaults,
]

/** The faults whose kind contains one of `words`, in any case of letters; all when there are none. */
export function mixOf(words: readonly string[]): readonly Fault[] {
  if (words.length === 0) return faults
  return faults.filter(({ kind }) => words.some((word) => kind.toLowerCase().includes(word.toLowerCase())))
}
