// The program `dead-letters`: shows, redrives and discards dead letters. Runs in this image or by `npm run dead-letters`. See docs/dead-letters.md.
import { deadLetterDesk, rabbitmqEnvironment } from '@ims/messaging'
import { runProgram } from '@ims/runtime'
import { deadLettersLog, deadLettersLogEnvironment } from './dead-letters/log.ts'
import { runDeadLetters } from './dead-letters/verbs.ts'

const sections = { rabbitmq: rabbitmqEnvironment, log: deadLettersLogEnvironment }

void runProgram(sections, async ({ config, args, out, err, stopping }) => {
  const warn = (_: object, message: string) => err(message)
  const log = { debug() {}, info() {}, warn, error: warn }
  const service = { name: 'dead-letters', log, meter: { count() {}, observe() {} }, stopping }
  const desk = deadLetterDesk(config.rabbitmq, service)
  return await runDeadLetters(args, { desk, log: deadLettersLog(config.log.path, err), out, err, stopping })
})
