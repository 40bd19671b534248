// A certificate authority for one test. Servers and clients that trust it can connect to each other with TLS.
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** A certificate and its private key, as files and as text (PEM). */
export interface Certificate {
  readonly certFile: string
  readonly keyFile: string
  readonly cert: string
  readonly key: string
}

const DAYS = '2'
const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

export class CertificateAuthority {
  readonly certFile: string
  readonly cert: string
  readonly #directory: string

  /** Creates the authority with the command `openssl`, and keeps its files in `directory`. */
  constructor(directory: string, name = 'Test CA') {
    mkdirSync(directory, { recursive: true })
    this.#directory = directory
    this.certFile = join(directory, 'ca.pem')
    const files = ['-keyout', join(directory, 'ca.key'), '-out', this.certFile]
    openssl('req', '-x509', ...NEW_KEY, ...files, '-days', DAYS, '-subj', `/CN=${name}`)
    this.cert = readFileSync(this.certFile, 'utf8')
  }

  /** Issues a certificate for `names`, such as `DNS:localhost` or `IP:127.0.0.1`. A client certificate needs no names. */
  issue(subject: string, ...names: readonly string[]): Certificate {
    const file = (suffix: string) => join(this.#directory, `${subject}.${suffix}`)
    const [keyFile, request, extensions, certFile] = [file('key'), file('csr'), file('ext'), file('pem')]
    openssl('req', '-new', ...NEW_KEY, '-keyout', keyFile, '-out', request, '-subj', `/CN=${subject}`)
    writeFileSync(extensions, names.length > 0 ? `subjectAltName=${names.join(',')}\n` : 'basicConstraints=CA:FALSE\n')
    const authority = ['-CA', this.certFile, '-CAkey', join(this.#directory, 'ca.key'), '-CAcreateserial']
    openssl('x509', '-req', '-in', request, ...authority, '-days', DAYS, '-extfile', extensions, '-out', certFile)
    return { certFile, keyFile, cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') }
  }
}

function openssl(...args: readonly string[]): void {
  execFileSync('openssl', args, { stdio: 'pipe' })
}
