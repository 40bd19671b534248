// The headers that say where a command came from, for consumers that record it.
import { z } from 'zod'

const MAX_CHARACTERS = 128
const name = z.string().max(MAX_CHARACTERS).optional().catch(undefined)
const headers = z.object({ 'x-requested-by': name, 'x-request-id': name })

/** `by`: the name of the API key; `requestId`: the id of the HTTP request. Undefined when unknown. */
export interface Origin {
  readonly by: string | undefined
  readonly requestId: string | undefined
}

/** The headers for a command. */
export const originHeaders = ({ by, requestId }: Origin): Record<string, string> => ({
  ...(by === undefined ? {} : { 'x-requested-by': by }),
  ...(requestId === undefined ? {} : { 'x-request-id': requestId }),
})

/** Reads the headers of a message. Anybody may have sent it, so anything but a short text counts as unknown. */
export function originOf(message: Readonly<Record<string, unknown>>): Origin {
  const { 'x-requested-by': by, 'x-request-id': requestId } = headers.parse(message)
  return { by, requestId }
}
