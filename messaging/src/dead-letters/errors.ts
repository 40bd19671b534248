// The errors of operations on dead letters, grouped by the action that the operator can take.

/**
 * `no-queue` · `busy` (the queue is in use by another operator) · `not-permitted` (the user lacks a permission) · `disconnected`
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
