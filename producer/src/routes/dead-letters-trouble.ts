// Why dead letters could not be worked on, as the problem that is answered.
import { DeadLettersUnavailable } from '@ims/messaging'
import { Problem } from '../problem.ts'

const RETRY_AFTER_S = '5'

/** Any other error is given back as it is. What the broker said may hold names of hosts and users: it goes into the log only. */
export function troubleAsProblem(error: unknown, counts: { done?: number; left?: number } = {}): unknown {
  if (error instanceof URIError) return new Problem(404, 'not-found', 'The path is not properly percent-encoded.')
  if (!(error instanceof DeadLettersUnavailable)) return error
  const headers = { 'Retry-After': RETRY_AFTER_S }
  switch (error.trouble) {
    case 'busy':
      return new Problem(409, 'busy', 'Somebody else is reading these dead letters: try again.', { headers })
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
    return new Problem(503, 'dead-letters-unavailable', `${why}${rest}`, { headers, ...counts })
  }
}
