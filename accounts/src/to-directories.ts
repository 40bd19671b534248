// `node to-directories.ts DIRECTORY`: writes the accounts of a compose project, one directory (a volume in compose) for each owner.
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Accounts, makeAccounts, owners } from './make-accounts.ts'

// Every user can read the files, because servers and services run as other users than this program. Each directory is
// mounted only into the containers of its owner.
const READABLE = 0o444

/** Completes the files in the directories and keeps existing secrets, so it is safe to run before every start. */
export function writeAccounts(directory: string): { made: string[] } {
  const existing = readAccounts(directory)
  const made: string[] = []
  for (const [owner, files] of Object.entries(makeAccounts(existing))) {
    mkdirSync(join(directory, owner), { recursive: true })
    for (const [name, content] of Object.entries(files)) {
      if (existing[owner]?.[name] === content) continue
      writeWhole(join(directory, owner, name), content)
      made.push(`${owner}/${name}`)
    }
  }
  return { made }
}

function readAccounts(directory: string): Accounts {
  return Object.fromEntries(
    owners
      .filter((owner) => existsSync(join(directory, owner)))
      .map((owner) => [
        owner,
        Object.fromEntries(
          readdirSync(join(directory, owner)).map((name) => [name, readFileSync(join(directory, owner, name), 'utf8')]),
        ),
      ]),
  )
}

/** Writes atomically, because a later run would keep the truncated password of a killed run. */
function writeWhole(path: string, content: string): void {
  const partial = `${path}.partial`
  writeFileSync(partial, content, { mode: READABLE, flush: true })
  renameSync(partial, path)
}

const [, program, directory] = process.argv
if (directory !== undefined && program === import.meta.filename) {
  const { made } = writeAccounts(directory)
  process.stdout.write(made.length === 0 ? 'accounts: nothing to create\n' : `accounts: created ${made.join(', ')}\n`)
}
