// Faults of database sessions: the server's defaults for new sessions change.
import { z } from 'zod'
import { createThenDelete, crowd } from '../workload/scenarios.ts'
import { cutFromDatabase, readAsServices } from './account.ts'
import type { Fault, Scene } from './fault.ts'

interface Setting {
  /** Names of the variable. The first one that the server knows is used. */
  readonly names: readonly string[]
  readonly worst: string
  /** An expression that shows the change in a new session, and the value that it then has. Default: the variable itself. */
  readonly seen?: readonly [string, string]
}

const SETTINGS: readonly Setting[] = [
  { names: ['sql_select_limit'], worst: '5' },
  { names: ['completion_type'], worst: 'CHAIN' },
  { names: ['completion_type'], worst: 'RELEASE' },
  { names: ['init_connect'], worst: 'SET NAMES latin1', seen: ['@@SESSION.character_set_client', 'latin1'] },
  { names: ['autocommit'], worst: '0' },
  { names: ['unique_checks'], worst: '0' },
  { names: ['foreign_key_checks'], worst: '0' },
  { names: ['sql_auto_is_null'], worst: '1' },
  { names: ['transaction_isolation', 'tx_isolation'], worst: 'SERIALIZABLE' },
  { names: ['transaction_read_only', 'tx_read_only'], worst: '1' },
  { names: ['auto_increment_increment'], worst: '1000' },
  { names: ['time_zone'], worst: '-11:00' },
  { names: ['sql_mode'], worst: 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT' },
  { names: ['sql_mode'], worst: '' },
]
/** The number of settings that are changed at the same time. */
const CHANGED = 3
const CROWD = 60

const shown = z.tuple([z.object({ value: z.union([z.string(), z.number()]).transform(String) })])

async function change({ testbed, random }: Scene) {
  const { mysql } = testbed.stack.servers
  const { names, worst, seen } = random.pick(SETTINGS)
  for (const name of names) {
    const before = await mysql.sql(`SELECT @@GLOBAL.${name}`).catch(() => undefined)
    if (before === undefined) continue
    const set = async (value: string) => await mysql.sql(`SET GLOBAL ${name} = ${literal(value)}`)
    await set(worst)
    const [expression, value] = seen ?? [`@@SESSION.${name}`, worst]
    const [{ value: now }] = shown.parse(await readAsServices(testbed, `SELECT ${expression} AS value`))
    return {
      note: `${name}='${worst}'`,
      taken: now === value,
      restore: async () => {
        await set(before.trim())
        if ((await mysql.sql(`SELECT @@GLOBAL.${name}`)) !== before) throw new Error(`${name} was not restored`)
      },
    }
  }
  throw new Error(`the server has none of the variables ${names.join(', ')}`)
}

const literal = (value: string): string => (/^\d+$/.test(value) ? value : `'${value}'`)

const settingsChanged: Fault = {
  kind: 'database session settings changed',
  group: 'database',
  weight: 10,
  inject: async (scene) => {
    const { testbed, sender, random } = scene
    const changes: Awaited<ReturnType<typeof change>>[] = []
    for (let count = 0; count < CHANGED; count += 1) changes.push(await change(scene))
    cutFromDatabase(testbed)
    // A row limit or chained transactions matter only for batches of many messages.
    await crowd(sender, random, createThenDelete, CROWD)
    return {
      note: changes.map(({ note }) => note).join(', '),
      lastsMs: random.whole(200, 1_500),
      repair: async () => {
        for (const { restore } of changes.reverse()) await restore()
        cutFromDatabase(testbed)
        return changes.some(({ taken }) => taken)
      },
    }
  },
}

export const settingsFaults: readonly Fault[] = [settingsChanged]
