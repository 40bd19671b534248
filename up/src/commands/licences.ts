// `licences`: writes docs/licences.md from the lockfile. Fails with the names of packages whose licence is not allowed.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from 'testkit/runs/jest'
import { licencesPage } from '../licences.ts'

/** Exit codes: 0 written · 1 a licence is not allowed. */
export async function licences(): Promise<number> {
  try {
    writeFileSync(
      join(ROOT, 'docs', 'licences.md'),
      licencesPage(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')),
    )
    return 0
  } catch (error) {
    process.stderr.write(`✗ ${error instanceof Error ? error.message : error}\n`)
    return 1
  }
}
