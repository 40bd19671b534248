// The environment variables of the programs `import` and `export`: the URL of the API, and the key.
import { z } from 'zod'

const httpUrl = z
  .url({ protocol: /^https?$/, error: 'must be a URL that begins with http:// or https://' })
  .refine((text) => !URL.canParse(text) || new URL(text).username + new URL(text).password === '', {
    message: 'must not contain a user or a password: set API_KEY',
  })

export const apiEnvironment = z
  .object({
    API_URL: httpUrl.default('http://127.0.0.1:5000').describe('URL of the API'),
    API_KEY: z
      .string()
      .regex(/^[!-~]+$/, 'must be one line of printable ASCII without spaces')
      .optional()
      .describe('API key with the scopes read and write; not set: no key is sent'),
  })
  .transform((v) => ({ url: new URL(v.API_URL), key: v.API_KEY }))

export type ApiSettings = z.output<typeof apiEnvironment>
