// The ids in the log lines of a message: its own id, and the id of the HTTP request that sent it.
import { requestIdOf } from './origin.ts'

/** The maximum number of messages that one log line names. */
export const NAMED_MAX = 20

/** A delivery, or the properties of a message. Any peer may have written the ids, so they may have any type. */
export interface Identified {
  readonly messageId?: unknown
  readonly headers?: Readonly<Record<string, unknown>> | undefined
}

/** The fields of a log line about one message. An unknown id is undefined, and is left out of the line. */
export const idsOf = ({ messageId, headers }: Identified) => ({ messageId, requestId: requestIdOf(headers) })

/** The ids of several messages. Both lists have the order of the messages. Null means unknown. */
export interface LoggedIds {
  readonly messageIds: readonly unknown[]
  readonly requestIds: readonly (string | null)[]
}

/** The fields of a log line about several messages: the ids of the first 20. */
export function idsOfAll(messages: readonly Identified[]): LoggedIds {
  const named = messages.slice(0, NAMED_MAX).map(idsOf)
  return {
    messageIds: named.map(({ messageId }) => messageId ?? null),
    requestIds: named.map(({ requestId }) => requestId ?? null),
  }
}
