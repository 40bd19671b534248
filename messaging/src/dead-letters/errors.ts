// Why dead letters could not be worked on, by what the operator can do about it.

/**
 * `no-queue` · `busy` (somebody else reads the queue) · `not-permitted` (this user may not) · `disconnected` (the broker is
 * away, or went away) · `unroutable` (there is no queue to redrive to) · `unconfirmed` (the broker did not take a message)
 */
export type DeadLettersTrouble = 'no-queue' | 'busy' | 'not-permitted' | 'disconnected' | 'unroutable' | 'unconfirmed'

/** The dead letters cannot be worked on, or no further; the message is a sentence for the operator. */
export class DeadLettersUnavailable extends Error {
  override readonly name = 'DeadLettersUnavailable'
  readonly trouble: DeadLettersTrouble
  constructor(trouble: DeadLettersTrouble, message: string, options?: ErrorOptions) {
    super(message, options)
    this.trouble = trouble
  }
}
