// The command `openssl`, which tests make certificates with: on Debian installed like the servers when it is missing.
import { succeeds } from './command.ts'
import { installPackages } from './install.ts'

const ANSWERS_WITHIN_MS = 10_000

/** Resolves when `openssl` can be run. Rejects with ServersUnavailable when it cannot be had. */
export async function openssl(): Promise<void> {
  if (!(await succeeds('openssl', ['version'], ANSWERS_WITHIN_MS))) await installPackages(['openssl'], () => {})
}
