// API keys: parses the lines of API_KEYS, and finds the key that a client presents. The producer knows only the hashes of keys.
import { createHash, timingSafeEqual } from 'node:crypto'
import { z } from 'zod'

/** The permissions of a key: `read` for queries and the health check, `write` for commands, `admin` for dead letters. No scope includes another. */
export const SCOPES = ['read', 'write', 'admin'] as const
export type Scope = (typeof SCOPES)[number]

/** The holder of a presented key, and the permissions of the key. */
export interface Client {
  readonly name: string
  readonly scopes: ReadonlySet<Scope>
}

export interface ApiKey extends Client {
  /** SHA-256 of the key. A key is 32 random bytes, so its hash needs neither salt nor many rounds. */
  readonly digest: Buffer
}

const NAME = /^[\w.-]{1,64}$/
const SHA256_HEX = /^[0-9a-f]{64}$/i
const LINE_HAS = 'a line has the name of the key, its scopes joined with commas, and its SHA-256'

/**
 * Parses keys: one per line (or between semicolons), `NAME SCOPES SHA-256`. A line that starts with # is a comment. Two
 * keys may have the same name, so that an old and a new one are valid together. Errors name the line and never quote
 * it, because it may contain a secret by mistake.
 */
export function readKeys(text: string): { readonly keys: readonly ApiKey[]; readonly problems: readonly string[] } {
  const keys: ApiKey[] = []
  const problems: string[] = []
  const lines = text.split(/[\n;]/).map((line) => line.trim())
  for (const [index, line] of lines.entries()) {
    if (line === '' || line.startsWith('#')) continue
    const read = keyOf(line)
    if (typeof read === 'string') problems.push(`line ${index + 1}: ${read}`)
    else if (keys.some(({ digest }) => digest.equals(read.digest)))
      problems.push(`line ${index + 1}: another line has the same SHA-256`)
    else keys.push(read)
  }
  if (lines.every((line) => line === '' || line.startsWith('#'))) problems.push(`has no key in it: ${LINE_HAS}`)
  return { keys, problems }
}

/** Parses API_KEYS at start: keys, or the word `open`. An invalid line and an empty value are errors. */
export const keysOrOpen = z.string().transform((text, context): readonly ApiKey[] | 'open' => {
  if (text.trim() === 'open') return 'open'
  const { keys, problems } = readKeys(text)
  for (const message of problems) context.addIssue({ code: 'custom', message })
  return keys
})

function keyOf(line: string): ApiKey | string {
  const [name = '', scopeList = '', sha256 = '', ...more] = line.split(/\s+/)
  if (sha256 === '' || more.length > 0) return LINE_HAS
  if (!NAME.test(name)) return 'the name may have at most 64 letters, digits, . _ and -'
  const scopes = scopeList.split(',').map((each) => SCOPES.find((scope) => scope === each))
  const known = scopes.filter((scope) => scope !== undefined)
  if (known.length < scopes.length) return `the scopes may be ${SCOPES.join(', ')}, joined with commas`
  if (!SHA256_HEX.test(sha256)) return 'the third part must be the SHA-256 of the key, as 64 hexadecimal digits'
  return { name, scopes: new Set(known), digest: Buffer.from(sha256, 'hex') }
}

/**
 * The client of the presented key. Undefined when the key is unknown. Every key is compared in constant time, so that
 * the duration reveals nothing.
 */
export function holderOf(presented: string, keys: readonly ApiKey[]): Client | undefined {
  const digest = createHash('sha256').update(presented).digest()
  let holder: Client | undefined
  for (const key of keys) if (timingSafeEqual(key.digest, digest)) holder = key
  return holder
}
