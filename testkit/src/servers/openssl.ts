// Makes sure that `openssl` is there, because tests create certificates with it. On Debian, `npm test` installs it if missing.
import { succeeds } from './command.ts'
import { installPackages } from './install.ts'
import type { OnProgress } from './servers.ts'

const ANSWERS_WITHIN_MS = 10_000

/** Resolves when `openssl` can be run. Rejects with ServersUnavailable when it cannot be installed. */
export async function openssl(onProgress: OnProgress): Promise<void> {
  if (!(await succeeds('openssl', ['version'], ANSWERS_WITHIN_MS))) await installPackages(['openssl'], onProgress)
}
