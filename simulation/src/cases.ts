// Schedules that once violated an invariant. The tests replay them.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { plan } from './plan.ts'

export const FILE_OF_CASES = fileURLToPath(new URL('../cases.json', import.meta.url))
const file = z.array(z.strictObject({ name: z.string(), plan }))

export const cases = (): z.output<typeof file> => file.parse(JSON.parse(readFileSync(FILE_OF_CASES, 'utf8')))
