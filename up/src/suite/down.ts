// `npm run down`: stops the suite. With --volumes, it also deletes the data.
import { composeDown, suiteMode } from './compose-suite.ts'
import { ownScreen, showOn } from './display.ts'
import { imsSuiteOrExplain } from './ims.ts'
import { readFlags } from './options.ts'
import { stopSuite } from './stop-suite.ts'
import { nameWidth } from './suite.ts'

const FLAGS = { volumes: "also delete RabbitMQ's and MySQL's data" }

/** Exit codes: 0 stopped, or nothing was running · 1 failed · 2 wrong arguments. */
export async function down(args: readonly string[]): Promise<number> {
  const flags = readFlags('down', args, FLAGS)
  if ('exitCode' in flags) return flags.exitCode
  const suite = imsSuiteOrExplain(process.env)
  if (suite === undefined) return 1
  const deleteData = flags.set.has('volumes')
  if ((await suiteMode(process.env, suite.directory)) === 'docker')
    return await composeDown(process.env, { deleteData })
  return await stopSuite(suite, { deleteData }, showOn(ownScreen(), nameWidth(suite)))
}
