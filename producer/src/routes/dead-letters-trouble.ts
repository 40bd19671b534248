// Maps a failed operation on dead letters to a problem.
import { DeadLettersUnavailable } from '@ims/messaging'
import { Problem } from '../http/problem.ts'

const RETRY_AFTER_S = '5'

/** Progress of a redrive or discard. `maybeSent`: this many more may have been redriven, and are counted as left as well. */
interface Counts {
  readonly done?: number
  readonly left?: number
  readonly maybeSent?: number
  /** For a redrive that waited: the outcomes of the redriven messages. */
  readonly outcomes?: object
}

/** Returns any other error unchanged. The broker's message may contain names of hosts and users, so it is only logged. */
export function troubleAsProblem(error: unknown, counts: Counts = {}): unknown {
  if (error instanceof URIError) return new Problem(404, 'not-found', 'The path is not properly percent-encoded.')
  if (!(error instanceof DeadLettersUnavailable)) return error
  const headers = { 'Retry-After': RETRY_AFTER_S }
  switch (error.trouble) {
    case 'busy':
      return new Problem(409, 'busy', 'Somebody else is reading these dead letters. Try again.', { headers })
    case 'no-queue':
      return new Problem(404, 'not-found', 'The broker has no such queue of dead letters yet: nothing was set aside.')
    case 'not-permitted':
      return new Problem(503, 'dead-letters-unavailable', 'The broker does not let this service at the dead letters.')
    case 'unroutable':
      return unavailable('There is no queue to redrive to: start its consumer first.')
    case 'disconnected':
      return unavailable('The connection to the message broker could not be made, or was lost.')
    case 'unconfirmed':
      return unavailable('The message broker did not take a message.')
  }
  function unavailable(why: string): Problem {
    const rest = counts.done === undefined ? '' : ' What was done is counted in done; the others are where they were.'
    const more = counts.maybeSent ? ` Up to ${counts.maybeSent} of those may have been redriven as well.` : ''
    return new Problem(503, 'dead-letters-unavailable', `${why}${rest}${more}`, { headers, ...counts })
  }
}
