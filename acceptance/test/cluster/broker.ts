// The state of the broker's queues.
import { inNamespace } from './kubectl.ts'

export interface Queue {
  readonly messages: number
  readonly consumers: number
}

/** The queues by name. */
export async function queues(): Promise<ReadonlyMap<string, Queue>> {
  const list = ['rabbitmqctl', '--quiet', 'list_queues', 'name', 'messages', 'consumers', '--no-table-headers']
  return queuesIn(await inNamespace(['exec', 'rabbitmq-0', '--', ...list]))
}

/** Parses lines of name, messages and consumers, separated by tabs. */
function queuesIn(lines: string): ReadonlyMap<string, Queue> {
  const rows = lines.split('\n').map((line) => line.split('\t'))
  const isRow = (row: string[]) => row.length === 3 && row.slice(1).every((number) => /^\d+$/.test(number))
  return new Map(
    rows.filter(isRow).map(([name = '', messages, consumers]) => {
      return [name, { messages: Number(messages), consumers: Number(consumers) }]
    }),
  )
}

/** The number of messages in all dead-letter queues. */
export function countDeadLetters(all: ReadonlyMap<string, Queue>): number {
  return [...all].filter(([name]) => name.endsWith('.dead-letter')).reduce((sum, [, { messages }]) => sum + messages, 0)
}
