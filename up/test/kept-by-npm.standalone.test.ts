// An option before `--` reaches only npm, which reports it as a variable.
import { expect, it } from '@jest/globals'
import { runToEnd } from 'testkit'
import { MAIN } from './fixtures/run-main.ts'

it.each([
  ['import', ['items.csv'], 'dry_run', 'npm run import -- items.csv --dry-run'],
  ['down', [], 'volumes', 'npm run down -- --volumes'],
])('%s does nothing when npm has kept an option for itself', async (command, args, variable, corrected) => {
  const env = { PATH: process.env.PATH, [`npm_config_${variable}`]: 'true' }
  const { code, err } = await runToEnd({ command: [process.execPath, MAIN, command, ...args], env })
  expect({ code, err }).toEqual({ code: 64, err: expect.stringContaining(corrected) })
})
