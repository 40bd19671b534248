// Checks that `openssl` is installed, because tests create certificates with it. On Debian, installs it if it is missing.
import { succeeds } from './command.ts'
import { installPackages } from './install.ts'
import type { OnProgress } from './servers.ts'

const RESPONDS_WITHIN_MS = 10_000

/** Resolves when `openssl` can be run. Rejects with ServersUnavailable when it cannot be installed. */
export async function openssl(onProgress: OnProgress): Promise<void> {
  if (!(await succeeds('openssl', ['version'], RESPONDS_WITHIN_MS))) await installPackages(['openssl'], onProgress)
}
