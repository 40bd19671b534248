// The headers that say where a message came from, for log lines and for consumers that record it.
import { z } from 'zod'

const BY = 'x-requested-by'
const REQUEST_ID = 'x-request-id'
/** The most of a name that is recorded. */
const NAME_MAX_CHARACTERS = 128

const name = z.string().max(NAME_MAX_CHARACTERS)
/** Safe in headers, logs and columns. */
const requestId = z.string().regex(/^[\w.-]{1,128}$/)

type Headers = Readonly<Record<string, unknown>>

/** `by`: the name of the API key; `requestId`: the id of the HTTP request. Undefined when unknown. */
export interface Origin {
  readonly by?: string | undefined
  readonly requestId: string | undefined
}

/** The id of an HTTP request, from a header of HTTP or of AMQP. Anybody may have sent it: undefined unless it is valid. */
export const requestIdIn = (value: unknown): string | undefined =>
  // Messages of Python peers have none, and a failed parse costs more.
  value === undefined ? undefined : requestId.safeParse(value).data

/** The headers of a message that was sent because of a request. */
export const originHeaders = ({ by, requestId }: Origin): Record<string, string> => ({
  ...(by === undefined ? {} : { [BY]: by }),
  ...(requestId === undefined ? {} : { [REQUEST_ID]: requestId }),
})

/** Reads the headers of a message. Anybody may have sent it, so anything invalid counts as unknown. */
export const originOf = (headers: Headers | undefined): Origin => ({
  by: name.safeParse(headers?.[BY]).data,
  requestId: requestIdOf(headers),
})

/** The id of the request that a message belongs to, by its headers. Undefined when unknown. */
export const requestIdOf = (headers: Headers | undefined): string | undefined => requestIdIn(headers?.[REQUEST_ID])

/** The headers without those by which equal messages of different requests differ: the origin and the trace context. */
export function withoutOrigin(headers: Headers): Headers {
  const { [BY]: _, [REQUEST_ID]: __, traceparent: ___, tracestate: ____, ...others } = headers
  return others
}
