// A failed start of the Galera cluster. Acceptance tests cover a successful start.
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from '@jest/globals'
import { startGalera, withoutGalera } from '../src/index.ts'

const missing = withoutGalera()
const run = missing === undefined ? it : it.skip

run(
  `leaves no process running when a node cannot start${missing === undefined ? '' : ` (skipped: ${missing})`}`,
  async () => {
    const directory = mkdtempSync(join(tmpdir(), 'ims-galera-'))
    // The third node fails, because its data directory is a file.
    mkdirSync(join(directory, 'node-3', 'mysql'), { recursive: true })
    writeFileSync(join(directory, 'node-3', 'mysql', 'data'), '')
    await expect(startGalera(directory)).rejects.toThrow(/EEXIST/)
    const processes = execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' }).split('\n')
    expect(processes.filter((line) => line.includes(directory))).toEqual([])
    rmSync(directory, { recursive: true })
  },
  180_000,
)
