// TLS to a server: the environment variables, and errors that say which variable to check.
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { z } from 'zod'

const CERTIFICATES = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

const certificates = z
  .string()
  .refine(areCertificates, { error: 'must be one or more certificates in PEM', abort: true })
const privateKey = z
  .string()
  .refine(isPrivateKey, { error: 'must be a private key in PEM, without a passphrase', abort: true })

/** TLS options. None of them can disable the verification of the server. */
export interface Tls {
  readonly ca: string | undefined
  readonly cert: string | undefined
  readonly key: string | undefined
  readonly serverName: string | undefined
}

/**
 * The TLS variables of one kind of server, `RABBITMQ_TLS…` or `MYSQL_TLS…`. `shape` is part of a zod object. `check`
 * validates the variables together. `of` returns the options, or undefined for an unencrypted connection.
 */
export function tlsEnvironment(prefix: 'RABBITMQ' | 'MYSQL') {
  const on = `${prefix}_TLS`
  const [ca, cert, key, serverName] = [`${on}_CA`, `${on}_CERT`, `${on}_KEY`, `${on}_SERVER_NAME`] as const
  const shape = {
    [on]: z
      .enum(['off', 'on'])
      .default('off')
      .describe('on: the connection is encrypted, and the server needs a valid certificate for its name'),
    [ca]: certificates.optional().describe('trusted certificate authorities, in PEM; not set: those of Node.js'),
    [cert]: certificates.optional().describe('client certificate, if the server requires one, in PEM'),
    [key]: privateKey.optional().describe('private key of the client certificate, in PEM'),
    [serverName]: z
      .string()
      .min(1)
      .optional()
      .describe(`name that the server's certificate must have, if it differs from ${prefix}_HOST`),
  }
  const read = (variables: object) => {
    const v = z.record(z.string(), z.unknown()).parse(variables)
    const text = (name: string) => z.string().optional().parse(v[name])
    return { isOn: v[on] === 'on', ca: text(ca), cert: text(cert), key: text(key), serverName: text(serverName) }
  }
  return {
    shape,
    of(variables: object): Tls | undefined {
      const { isOn, ...tls } = read(variables)
      return isOn ? tls : undefined
    },
    check(variables: object, context: z.core.$RefinementCtx): void {
      const wrong = (variable: string, message: string) =>
        context.addIssue({ code: 'custom', path: [variable], message, input: undefined })
      const { isOn, ...tls } = read(variables)
      const set = Object.entries({ [ca]: tls.ca, [cert]: tls.cert, [key]: tls.key, [serverName]: tls.serverName })
        .filter(([, value]) => value !== undefined)
        .map(([name]) => name)
      if (!isOn && set.length > 0) wrong(on, `is off, but ${set.join(', ')} is set: nothing would be encrypted`)
      if (tls.cert !== undefined && tls.key === undefined) wrong(key, `is needed with ${cert}`)
      if (tls.cert === undefined && tls.key !== undefined) wrong(cert, `is needed with ${key}`)
      if (tls.cert === undefined || tls.key === undefined) return
      if (!new X509Certificate(tls.cert).checkPrivateKey(createPrivateKey(tls.key)))
        wrong(key, `is not the key of ${cert}`)
    },
  }
}

/** Converts `error` to one sentence that says which variable to check. Undefined when the error is not about TLS. */
export function tlsTrouble(prefix: 'RABBITMQ' | 'MYSQL', error: unknown): string | undefined {
  const { data } = failure.safeParse(error)
  if (data === undefined) return undefined
  const text = data.message.trim().replaceAll(/\s+/g, ' ')
  const meaning = MEANINGS.find(([pattern]) => pattern.test(text) || pattern.test(data.code ?? ''))?.[1]
  return meaning === undefined ? undefined : `TLS: ${meaning.replaceAll('*', prefix)} (${text})`
}

/** The meaning of each error text. The asterisk stands for the prefix of the variables. */
const MEANINGS: readonly (readonly [RegExp, string])[] = [
  [/altnames|ALTNAME_INVALID/i, "the server's certificate is for another name: check *_HOST and *_TLS_SERVER_NAME"],
  [/has expired|not yet valid/i, "the server's certificate is not valid at this time"],
  [
    /self.signed|unable to verify|unable to get|UNABLE_TO_(VERIFY|GET)|certificate signature failure/i,
    "the server's certificate is not from a trusted authority: check *_TLS_CA",
  ],
  [
    /alert (number (40|42|46|48|116)|bad certificate|unknown ca|certificate required|handshake failure)|CERTIFICATE_REQUIRED/i,
    'the server rejected our certificate: check *_TLS_CERT and *_TLS_KEY',
  ],
  [
    /wrong version number|packet length too long|does not support secure connection|NO_SSL_SUPPORT/i,
    'the server does not use TLS on this port: check *_PORT and *_TLS',
  ],
  [
    // Errors of amqplib.
    /closed abruptly during opening handshake/,
    'the server closed the connection during the handshake, as it does when it rejects our certificate: check *_TLS_CERT and *_TLS_KEY',
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
