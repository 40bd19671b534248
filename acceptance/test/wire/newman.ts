// Runs the Postman collection with newman against a producer, like a user on the command line.
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { runToEnd } from 'testkit'
import { ROOT } from '../stack.ts'

const NEWMAN = createRequire(import.meta.url).resolve('newman/bin/newman.js')
const COLLECTION = join(ROOT, 'docs/ims.postman_collection.json')

export interface NewmanRun {
  /** 0 when every assertion passed. */
  readonly code: number
  /** Newman's report, including its list of failures. */
  readonly output: string
}

/** Runs `collection` against the producer at `baseUrl`, once. */
export async function runNewman(baseUrl: string, collection: string = COLLECTION): Promise<NewmanRun> {
  const args = [
    '--disable-warning=DEP0176',
    NEWMAN,
    'run',
    collection,
    '--env-var',
    `baseUrl=${baseUrl}`,
    '--color',
    'off',
    '--disable-unicode',
  ]
  const { code, out, err } = await runToEnd({ command: [process.execPath, ...args], cwd: ROOT })
  return { code: code ?? 1, output: out + err }
}
