// `api-key NAME SCOPES`: creates a key for the HTTP API, and prints it once together with its line for API_KEYS.
import { createHash, randomBytes } from 'node:crypto'

const EXIT_USAGE = 64
const KEY_BYTES = 32
/** A prefix by which a leaked key can be found in files and chats. */
const PREFIX = 'ims_'
const NAME = /^[\w.-]{1,64}$/
const SCOPES = /^(read|write|admin)(,(read|write|admin))*$/

/** Exit codes: 0 created · 64 wrong arguments. The line goes to standard output, the key itself to standard error. */
export async function apiKey([name = '', scopes = '', ...rest]: string[]): Promise<number> {
  if (rest.length > 0 || !NAME.test(name) || !SCOPES.test(scopes)) {
    process.stderr.write('usage: npm run api-key -- NAME SCOPES\n')
    process.stderr.write('NAME: letters, digits, . _ and -; SCOPES: read, write and admin, joined with commas\n')
    return EXIT_USAGE
  }
  const key = PREFIX + randomBytes(KEY_BYTES).toString('base64url')
  const sha256 = createHash('sha256').update(key).digest('hex')
  process.stderr.write(
    `The key of ${name}, for the header "Authorization: Bearer <key>". It is shown only once:\n${key}\n`,
  )
  process.stderr.write('The line for API_KEYS, or for the file of API_KEYS_FILE:\n')
  process.stdout.write(`${name} ${scopes} ${sha256}\n`)
  return 0
}
