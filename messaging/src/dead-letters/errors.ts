// The errors of operations on dead letters, grouped by what the operator can do about them.

/**
 * `no-queue` · `busy` (the queue is in use by another operator) · `not-permitted` (this user may not) · `disconnected`
 * (the broker is unreachable, or the connection was lost) · `unroutable` (the queue to redrive to does not exist) ·
 * `unconfirmed` (the broker did not accept a message)
 */
export type DeadLettersTrouble = 'no-queue' | 'busy' | 'not-permitted' | 'disconnected' | 'unroutable' | 'unconfirmed'

/** An operation on dead letters cannot start or continue. The message is written for the operator. */
export class DeadLettersUnavailable extends Error {
  override readonly name = 'DeadLettersUnavailable'
  readonly trouble: DeadLettersTrouble
  constructor(trouble: DeadLettersTrouble, message: string, options?: ErrorOptions) {
    super(message, options)
    this.trouble = trouble
  }
}
