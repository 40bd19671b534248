// Maps a failed operation on dead letters to a problem.
import { DeadLettersUnavailable } from '@ims/messaging'
import { Problem } from '../http/problem.ts'

const RETRY_AFTER_S = '5'

/** Progress of a redrive or discard. Up to `maybeSent` of those in `left` may have been redriven as well. */
interface Counts {
  readonly done?: number
  readonly left?: number
  readonly maybeSent?: number
  /** For a redrive that waited: the outcomes of the redriven messages. */
  readonly outcomes?: object
}

/**
 * Converts a DeadLettersUnavailable or URIError to a problem, and returns other errors unchanged. The problem leaves out the
 * broker's message, which may contain names of hosts and users.
 */
export function troubleAsProblem(error: unknown, counts: Counts = {}): unknown {
  if (error instanceof URIError) return new Problem(404, 'not-found', 'The path is not properly percent-encoded.')
  if (!(error instanceof DeadLettersUnavailable)) return error
  const headers = { 'Retry-After': RETRY_AFTER_S }
  switch (error.trouble) {
    case 'busy':
      return new Problem(409, 'busy', 'Another operator is reading these dead letters. Try again.', { headers })
    case 'no-queue':
      return new Problem(404, 'not-found', 'The dead-letter queue does not exist yet: no message was dead-lettered.')
    case 'not-permitted':
      return new Problem(
        503,
        'dead-letters-unavailable',
        'The broker does not permit this service to use the dead letters.',
      )
    case 'unroutable':
      return unavailable('There is no queue to redrive to: start its consumer first.')
    case 'disconnected':
      return unavailable('The connection to the message broker could not be made, or was lost.')
    case 'unconfirmed':
      return unavailable('The message broker did not accept a message.')
  }
  function unavailable(why: string): Problem {
    const rest =
      counts.done === undefined
        ? ''
        : ' The member done counts those that were processed. The others are still dead-lettered.'
    const more = counts.maybeSent ? ` Up to ${counts.maybeSent} of those may have been redriven as well.` : ''
    return new Problem(503, 'dead-letters-unavailable', `${why}${rest}${more}`, { headers, ...counts })
  }
}
