// TLS on the way to RabbitMQ: the variables that describe it, and what a failure means for whoever set them.
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { z } from 'zod'

const CERTIFICATES = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

const certificates = z
  .string()
  .refine(areCertificates, { error: 'must be one or more certificates in PEM', abort: true })
const privateKey = z
  .string()
  .refine(isPrivateKey, { error: 'must be a private key in PEM, without a passphrase', abort: true })

export const tlsVariables = {
  RABBITMQ_TLS: z
    .enum(['off', 'on'])
    .default('off')
    .describe('on: encrypted, and only with a server whose certificate is valid and names it'),
  RABBITMQ_TLS_CA: certificates
    .optional()
    .describe('the certificate authorities to trust, in PEM; not set: those that Node knows'),
  RABBITMQ_TLS_CERT: certificates.optional().describe('our own certificate, where the server asks for one, in PEM'),
  RABBITMQ_TLS_KEY: privateKey.optional().describe('the private key of our certificate, in PEM'),
  RABBITMQ_TLS_SERVER_NAME: z
    .string()
    .min(1)
    .optional()
    .describe("the name that the server's certificate must have, if it is not the host in RABBITMQ_HOST"),
}
const variables = z.object(tlsVariables)
type Variables = z.output<typeof variables>

/** How to speak TLS; nothing in it can turn the verification off. */
export interface Tls {
  readonly ca: string | undefined
  readonly cert: string | undefined
  readonly key: string | undefined
  readonly serverName: string | undefined
}

/** Undefined: not encrypted. */
export function tlsOf(v: Variables): Tls | undefined {
  if (v.RABBITMQ_TLS === 'off') return undefined
  return {
    ca: v.RABBITMQ_TLS_CA,
    cert: v.RABBITMQ_TLS_CERT,
    key: v.RABBITMQ_TLS_KEY,
    serverName: v.RABBITMQ_TLS_SERVER_NAME,
  }
}

/** What is wrong between the variables, although each is right by itself. */
export function checkTls(v: Variables, context: z.core.$RefinementCtx): void {
  const wrong = (variable: keyof Variables, message: string) =>
    context.addIssue({ code: 'custom', path: [variable], message, input: undefined })
  const { RABBITMQ_TLS_CERT: cert, RABBITMQ_TLS_KEY: key } = v
  const set = (
    [`RABBITMQ_TLS_CA`, `RABBITMQ_TLS_CERT`, `RABBITMQ_TLS_KEY`, `RABBITMQ_TLS_SERVER_NAME`] as const
  ).filter((name) => v[name])
  if (v.RABBITMQ_TLS === 'off' && set.length > 0)
    wrong('RABBITMQ_TLS', `is off, but ${set.join(', ')} is set: nothing would be encrypted`)
  if (cert !== undefined && key === undefined) wrong('RABBITMQ_TLS_KEY', 'is needed with RABBITMQ_TLS_CERT')
  if (cert === undefined && key !== undefined) wrong('RABBITMQ_TLS_CERT', 'is needed with RABBITMQ_TLS_KEY')
  if (cert !== undefined && key !== undefined && !new X509Certificate(cert).checkPrivateKey(createPrivateKey(key)))
    wrong('RABBITMQ_TLS_KEY', 'is not the key of RABBITMQ_TLS_CERT')
}

/** One sentence that says which variable to look at; undefined when the failure has nothing to do with TLS. */
export function tlsTrouble(error: unknown): string | undefined {
  const { data } = failure.safeParse(error)
  if (data === undefined) return undefined
  const said = data.message.trim().replaceAll(/\s+/g, ' ')
  const meaning = MEANINGS.find(([pattern]) => pattern.test(said) || pattern.test(data.code ?? ''))?.[1]
  return meaning === undefined ? undefined : `TLS: ${meaning} (${said})`
}

const MEANINGS: readonly (readonly [RegExp, string])[] = [
  [
    /altnames|ALTNAME_INVALID/i,
    "the server's certificate is for another name: look at RABBITMQ_HOST and RABBITMQ_TLS_SERVER_NAME",
  ],
  [/has expired|not yet valid/i, "the server's certificate is not valid at this time"],
  [
    /self.signed|unable to verify|unable to get|UNABLE_TO_(VERIFY|GET)|certificate signature failure/i,
    "the server's certificate is not from an authority we trust: look at RABBITMQ_TLS_CA",
  ],
  [
    /alert (number (40|42|46|48|116)|bad certificate|unknown ca|certificate required|handshake failure)|CERTIFICATE_REQUIRED/i,
    'the server does not take our certificate: look at RABBITMQ_TLS_CERT and RABBITMQ_TLS_KEY',
  ],
  [
    /wrong version number|packet length too long|does not support secure connection|NO_SSL_SUPPORT/i,
    'the server does not speak TLS there: look at RABBITMQ_PORT and RABBITMQ_TLS',
  ],
  [
    /closed abruptly during opening handshake/,
    'the server ended the connection at once, as it does when it does not take our certificate: look at RABBITMQ_TLS_CERT and RABBITMQ_TLS_KEY',
  ],
  [/ssl|tls/i, 'it failed'],
]

const failure = z.object({ message: z.string(), code: z.string().optional() })

function areCertificates(pem: string): boolean {
  const found = pem.match(CERTIFICATES) ?? []
  return found.length > 0 && found.every(isCertificate)
}

function isCertificate(pem: string): boolean {
  try {
    new X509Certificate(pem)
    return true
  } catch {
    return false
  }
}

function isPrivateKey(pem: string): boolean {
  try {
    createPrivateKey(pem)
    return true
  } catch {
    return false
  }
}
