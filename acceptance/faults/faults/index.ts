// All faults there are, and those that a mix names.
import { accountFaults } from './account.ts'
import { brokerFaults } from './broker.ts'
import { clusterFaults } from './cluster.ts'
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

/** Those that a cluster has; its nodes are reached without a proxy. */
export const faultsOfCluster: readonly Fault[] = [
  ...clusterFaults,
  ...faults.filter(({ group }) => ['services', 'broker', 'amqp leg'].includes(group)),
]

/** The faults of `all` whose kind contains one of `words`, in any case of letters; all when there are none. */
export function mixOf(words: readonly string[], all: readonly Fault[] = faults): readonly Fault[] {
  if (words.length === 0) return all
  return all.filter(({ kind }) => words.some((word) => kind.toLowerCase().includes(word.toLowerCase())))
}
