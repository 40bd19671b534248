// The inbox: which messages were already applied and with which outcome, so that none is applied twice.
import { z } from 'zod'
import type { Command } from './contract.ts'
import type { Sql } from './server-pool.ts'
import { assertChanged } from './stored.ts'

export interface Recorded {
  readonly fingerprint: string
  readonly outcome: string
}

export interface Identified {
  readonly messageId: string
  readonly fingerprint: string
}

export const hasId = <Body>(command: Command<Body>): command is Command<Body> & Identified =>
  command.messageId !== undefined

const recorded = z.array(z.object({ id: z.string(), fingerprint: z.string(), outcome: z.string() }))

/** What is recorded of these messages of `queue`, by message id. */
export async function findRecorded(
  sql: Sql,
  queue: string,
  messageIds: readonly string[],
): Promise<Map<string, Recorded>> {
  if (messageIds.length === 0) return new Map()
  const rows = await sql(
    `SELECT CONVERT(message_id USING utf8mb4) AS id, fingerprint, outcome FROM inbox
     WHERE queue = ? AND message_id IN (?)`,
    [queue, messageIds],
  )
  return new Map(recorded.parse(rows).map(({ id, ...rest }) => [id, rest]))
}

/** Records messages of `queue` with their outcome. Rejects with errno 1062 when one is recorded already. */
export async function record(
  sql: Sql,
  queue: string,
  messages: readonly (Identified & { readonly outcome: string })[],
): Promise<void> {
  if (messages.length === 0) return
  const rows = messages.map(({ messageId, fingerprint, outcome }) => [queue, messageId, fingerprint, outcome])
  assertChanged(await sql('INSERT INTO inbox (queue, message_id, fingerprint, outcome) VALUES ?', [rows]), rows.length)
}
