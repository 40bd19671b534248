// Generates docs/asyncapi.yaml, the AsyncAPI 3 document of all queues, from the contracts. `npx node
// acceptance/test/documents/asyncapi-page.ts` writes it.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { queues, services } from '@ims/accounts/suite'
import { type Contract, contracts, deadLetterQueue, pageReplyHeaders } from '@ims/messaging'
import { stringify } from 'yaml'
import { z } from 'zod'

export const ASYNCAPI_PAGE = join(import.meta.dirname, '../../../docs/asyncapi.yaml')

const { version } = z
  .object({ version: z.string() })
  .parse(JSON.parse(readFileSync(join(import.meta.dirname, '../../../package.json'), 'utf8')))

/** All transforms in the contracts parse decimal numbers, so their input is a number or a string. */
const schemaOf = (schema: z.ZodType) =>
  z.toJSONSchema(schema, {
    target: 'draft-7',
    io: 'input',
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema }) => {
      if (zodSchema._zod.def.type === 'transform') jsonSchema.type = ['number', 'string']
    },
  })

const ref = (path: string) => ({ $ref: `#/${path}` })
const binding = { amqp: { is: 'queue', queue: { durable: true, exclusive: false, autoDelete: false, vhost: '/' } } }
const consumerOf = (queue: string) => services.find(({ consumes }) => consumes.some((name) => name === queue))?.name

function channelsOf(contract: Contract) {
  const { queue, kind } = contract
  const headers = kind === 'query' ? schemaOf(contract.headers) : undefined
  const request = {
    summary: `A ${kind} for ${consumerOf(queue)}`,
    contentType: 'application/json',
    ...(headers !== undefined && 'type' in headers ? { headers } : {}),
    payload: schemaOf(contract.body),
    correlationId: ref('components/correlationIds/correlationId'),
  }
  const paged = headers !== undefined && 'type' in headers ? { headers: schemaOf(pageReplyHeaders) } : {}
  const reply = {
    summary: kind === 'query' ? 'The reply to the query' : 'The result, if the message was applied',
    contentType: 'application/json',
    ...paged,
    payload: schemaOf(kind === 'query' ? contract.reply : contract.result),
    correlationId: ref('components/correlationIds/correlationId'),
  }
  const dead = deadLetterQueue(queue)
  return {
    [queue]: { address: queue, messages: { request }, bindings: binding },
    [`${queue}_reply`]: { address: null, description: 'The queue that `reply_to` names', messages: { reply } },
    ...(kind === 'command'
      ? {
          [dead]: {
            address: dead,
            messages: { bad: { summary: 'A bad message, unchanged' } },
            bindings: binding,
          },
        }
      : {}),
  }
}

function operationOf({ queue }: Contract) {
  return {
    action: 'send',
    channel: ref(`channels/${queue}`),
    messages: [ref(`channels/${queue}/messages/request`)],
    reply: {
      address: {
        location: '$message.header#/reply_to',
        description: 'The AMQP property. Without it there is no reply.',
      },
      channel: ref(`channels/${queue}_reply`),
      messages: [ref(`channels/${queue}_reply/messages/reply`)],
    },
  }
}

/** The AsyncAPI document as YAML text. */
export function asyncapi(): string {
  const document = {
    asyncapi: '3.0.0',
    info: {
      title: 'IMS, the Inventory Management System',
      version,
      description: `The ${Object.keys(queues).length} queues of the suite, as the producer uses them. Generated from the contracts; do not edit.`,
      license: { name: 'MIT' },
    },
    defaultContentType: 'application/json',
    servers: { rabbitmq: { host: 'rabbitmq:5672', protocol: 'amqp', protocolVersion: '0.9.1' } },
    channels: Object.assign({}, ...contracts.map((contract) => channelsOf(contract))),
    operations: Object.fromEntries(contracts.map((contract) => [contract.queue, operationOf(contract)])),
    components: {
      correlationIds: {
        correlationId: { location: '$message.header#/correlation_id', description: 'The AMQP property' },
      },
    },
  }
  return stringify(document, { lineWidth: 120, aliasDuplicateObjects: false })
}

if (import.meta.main) writeFileSync(ASYNCAPI_PAGE, asyncapi())
