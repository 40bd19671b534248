// The headers that say where a message came from, for log lines and for consumers that record this origin.
import { z } from 'zod'

const BY = 'x-requested-by'
const REQUEST_ID = 'x-request-id'
/** A longer name is not recorded. */
const NAME_MAX_CHARACTERS = 128

const name = z.string().max(NAME_MAX_CHARACTERS)
/** Characters that are safe in headers, logs and columns. */
const requestId = z.string().regex(/^[\w.-]{1,128}$/)

type Headers = Readonly<Record<string, unknown>>

/** `by`: the name of the API key; `requestId`: the id of the HTTP request. Undefined when unknown. */
export interface Origin {
  readonly by?: string | undefined
  readonly requestId: string | undefined
}

/** The id of an HTTP request, from an HTTP or AMQP header. Undefined unless it is valid, because any client may send it. */
export const requestIdIn = (value: unknown): string | undefined =>
  // Messages of Python peers have no request id, and a failed parse costs more than this check.
  value === undefined ? undefined : requestId.safeParse(value).data

/** The headers that record the origin of a message. */
export const originHeaders = ({ by, requestId }: Origin): Record<string, string> => ({
  ...(by === undefined ? {} : { [BY]: by }),
  ...(requestId === undefined ? {} : { [REQUEST_ID]: requestId }),
})

/** Reads the origin from the headers of a message. Invalid values count as unknown, because any peer may send them. */
export const originOf = (headers: Headers | undefined): Origin => ({
  by: name.safeParse(headers?.[BY]).data,
  requestId: requestIdOf(headers),
})

/** The id of the HTTP request that a message belongs to, from its headers. Undefined if unknown. */
export const requestIdOf = (headers: Headers | undefined): string | undefined => requestIdIn(headers?.[REQUEST_ID])

/** The headers without the origin and the trace context, in which otherwise equal messages of different requests differ. */
export function withoutOrigin(headers: Headers): Headers {
  const { [BY]: _, [REQUEST_ID]: __, traceparent: ___, tracestate: ____, ...others } = headers
  return others
}
