// All faults, and the selection of a mix.
import { accountFaults } from './account.ts'
import { brokerFaults } from './broker.ts'
import { clusterFaults } from './cluster.ts'
import { databaseFaults } from './database.ts'
import type { Fault } from './fault.ts'
import { momentFaults } from './moments.ts'
import { networkFaults } from './network.ts'
import { redriveFaults } from './redrive.ts'
import { replicaFaults } from './replicas.ts'
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
  ...replicaFaults,
  ...redriveFaults,
]

/** The faults of a run on a database cluster. There are no proxies to its nodes. */
export const faultsOfCluster: readonly Fault[] = [
  ...clusterFaults,
  ...faults.filter(({ group }) => ['services', 'broker', 'amqp leg'].includes(group)),
]

/** The faults of `all` whose kind contains one of `words`, ignoring case. All of them if there are no words. */
export function mixOf(words: readonly string[], all: readonly Fault[] = faults): readonly Fault[] {
  if (words.length === 0) return all
  return all.filter(({ kind }) => words.some((word) => kind.toLowerCase().includes(word.toLowerCase())))
}
