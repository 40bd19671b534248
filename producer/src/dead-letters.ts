// The program `dead-letters`: what operators do with dead letters, in this image or by `npm run dead-letters`. docs/dead-letters.md
import { deadLetterDesk, rabbitmqEnvironment } from '@ims/messaging'
import { runProgram } from '@ims/runtime'
import { runDeadLetters } from './dead-letters-verbs.ts'

void runProgram({ rabbitmq: rabbitmqEnvironment }, async ({ config, args, out, err, stopping }) => {
  const warn = (_: object, message: string) => err(message)
  const log = { debug() {}, info() {}, warn, error: warn }
  const service = { name: 'dead-letters', log, meter: { count() {}, observe() {} }, stopping }
  return await runDeadLetters(args, { desk: deadLetterDesk(config.rabbitmq, service), out, err, stopping })
})
