// Parses the command line of `npm run faults`, and prints the command that repeats a run.
import { z } from 'zod'
import { parseOptions } from './command-line.ts'
import type { Fault } from './faults/fault.ts'
import { faults, faultsOfCluster, mixOf } from './faults/index.ts'
import { type Mutation, mutations } from './mutations.ts'

const NAMES = mutations.map(({ name }) => name)
export const USAGE = `usage: npm run faults -- [--seed N] [--minutes M] [--clients N] [--mix WORD,WORD] [--only N,N] [--mutation NAME] [--database galera] [--no-shrink]
  --mix        only faults whose kind contains one of the words. Kinds:
               ${faults.map(({ kind }) => kind).join(', ')}
  --only       only the faults with these numbers in the schedule of the seed, or none. The run ends after the last of them
  --database   galera: a MariaDB cluster of three nodes instead of one server, with these faults:
               ${faultsOfCluster.map(({ kind }) => kind).join(', ')}
  --mutation   removes a guarantee, so that the ledger must find a violation: ${NAMES.join(', ')}
  --no-shrink  does not repeat a failed run with fewer faults
The report of the run is one HTML file in .local/faults.
`

const number = z.string().transform(Number)
const options = z.object({
  seed: number.pipe(z.int().min(0)).default(() => Math.floor(Math.random() * 2 ** 31)),
  minutes: number.pipe(z.number().positive()).default(2),
  clients: number.pipe(z.int().min(1).max(100)).default(12),
  mix: z.string().optional(),
  only: z
    .string()
    .regex(/^(none|\d+(,\d+)*)$/, 'must be numbers with commas between them, or none')
    .transform((list) => (list === 'none' ? [] : list.split(',').map(Number)))
    .optional(),
  mutation: z.enum(NAMES).optional(),
  database: z.enum(['galera']).optional(),
  'no-shrink': z.boolean().default(false),
})

export type Given = z.infer<typeof options>

/** Returns the options, or a sentence that says why they are not valid. */
export const readOptions = (args: string[]): Given | string => parseOptions(args, options, ['no-shrink'])

export const mutationOf = ({ mutation }: Given): Mutation | undefined => mutations.find(({ name }) => name === mutation)

/** The faults to choose from: those of --mix, or those that the mutation names, or all. */
export function faultsOf({ mix, database, ...given }: Given): readonly Fault[] {
  const words = mix?.split(',').filter((word) => word !== '') ?? mutationOf({ ...given, database })?.mix ?? []
  return mixOf(words, database === undefined ? faults : faultsOfCluster)
}

/** The command that repeats a run, with only these faults if `only` is given. */
export function commandOf(
  { seed, minutes, clients, mix, mutation, database }: Given,
  only?: readonly number[],
): string {
  const parts = {
    seed,
    ...(only === undefined ? { minutes } : { only: only.join() || 'none' }),
    clients,
    mix: mix === undefined ? undefined : `"${mix}"`,
    mutation,
    database,
  }
  const given = Object.entries(parts).filter(([, value]) => value !== undefined)
  return `npm run faults -- ${given.map(([name, value]) => `--${name} ${value}`).join(' ')}`
}
