// API keys for tests of /dead_letters: one for each scope, and a client who has that for admin.
import { createHash } from 'node:crypto'
import type { Express } from 'express'
import request from 'supertest'

const sha256 = (key: string) => createHash('sha256').update(key).digest('hex')

/** `key-read`, `key-write` and `key-admin`, each with the scope that it is named after. */
export const API_KEYS = ['read', 'write', 'admin']
  .map((scope) => `${scope}er ${scope} ${sha256(`key-${scope}`)}`)
  .join('\n')

export function asAdmin(app: Express) {
  return request.agent(app).set('X-API-Key', 'key-admin')
}
