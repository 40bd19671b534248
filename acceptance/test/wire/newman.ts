// Runs the Postman collection with newman against a producer, like a user on the command line.
import { execFile } from 'node:child_process'
import { createRequire } from 'node:module'
import { join } from 'node:path'
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
export function runNewman(baseUrl: string, collection: string = COLLECTION): Promise<NewmanRun> {
  const args = [NEWMAN, 'run', collection, '--env-var', `baseUrl=${baseUrl}`, '--color', 'off', '--disable-unicode']
  return new Promise((resolve) => {
    execFile(process.execPath, ['--disable-warning=DEP0176', ...args], { cwd: ROOT }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1
      resolve({ code, output: stdout + stderr })
    })
  })
}
