// The public exports of messaging.
export {
  type Broker,
  type BrokerRole,
  type Dependency,
  openBroker,
  type QueueState,
  type Subscription,
  waitForConsumers,
} from './broker.ts'
export { type ConsumerConfig, consumerEnvironment, type RabbitmqConfig, rabbitmqEnvironment } from './config.ts'
export { type Command, type Contract, deadLetterQueue, type Query } from './contract.ts'
export * from './contracts.ts'
export type { DeadLetter } from './dead-letters/described.ts'
export {
  type Browsed,
  type BrowseOptions,
  type Choice,
  type DeadLetterDesk,
  deadLetterDesk,
  deadLetterSource,
  deadLetterSources,
  type Progress,
  type RedriveOptions,
  type Visit,
  type Worked,
  type WorkOptions,
} from './dead-letters/desk.ts'
export { type DeadLettersTrouble, DeadLettersUnavailable } from './dead-letters/errors.ts'
export type { Outcomes, OutcomesWanted } from './dead-letters/outcomes.ts'
export { countReason } from './dead-letters/reasons.ts'
export { jsonLinePieces, printable, shortened } from './dead-letters/text.ts'
export { BadReply, Misconfigured, NoReply, NotAccepted, OutcomeUnknown } from './errors.ts'
export type { Delivery, Handler, Outcome } from './handler.ts'
export { type Identified, idsOf, type LoggedIds } from './logged-ids.ts'
export { derivedMessageId } from './message-id.ts'
export { type Origin, originHeaders, originOf, requestIdIn } from './origin.ts'
export type { Envelope, Publisher } from './outgoing/publisher.ts'
export type { CommandOptions, CommandReply, Reply, Requester } from './outgoing/requester.ts'
export { containsText, LAST_PAGE, PAGE_MAX_ITEMS, pageReplyHeaders, pageRequestHeaders } from './paging.ts'
export type { Clock } from './scope.ts'
export type { Connect, Log, Memory, Meter, Service } from './service.ts'
