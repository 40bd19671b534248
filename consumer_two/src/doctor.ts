// The program `doctor`: checks the broker and the database as the users of the suite. Runs in this image or with `npm run doctor`.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { rabbitmqEnvironment } from '@ims/messaging'
import { mysqlEnvironment, retentionEnvironment } from '@ims/repository'
import { runProgram } from '@ims/runtime'
import { examineSuite } from './doctor/examination.ts'
import { exitCodeOf, reportOf } from './doctor/report.ts'

const EXIT_USAGE = 64
const USAGE = `usage: doctor [--json] [--accounts DIRECTORY] [--management URL]

  --accounts DIRECTORY  passwords of the users to check, as <user>/rabbitmq-password and <user>/mysql-password;
                        without it, only the users of the environment are checked
  --management URL      RabbitMQ's management API, such as http://rabbitmq:15672, for the user monitoring,
                        whose password is rabbitmq/monitoring-password in that directory
  --json                print the findings as JSON

Exit codes: 0 all is fine · 1 a fault was found · 2 no fault, but something was not checked
            64 wrong arguments · 78 wrong configuration
`
const options = {
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
  accounts: { type: 'string' },
  management: { type: 'string' },
} as const

const sections = { rabbitmq: rabbitmqEnvironment, mysql: mysqlEnvironment, retention: retentionEnvironment }

void runProgram(sections, async ({ config, args, out, err }) => {
  const given = parsed(args)
  if (typeof given === 'string') {
    err(`✗ ${given}\n${USAGE}`)
    return EXIT_USAGE
  }
  const { help, json, accounts, management } = given
  if (help) {
    await out(USAGE)
    return 0
  }
  const passwordIn = (owner: string, name: string) => accounts && secret(join(accounts, owner, `${name}-password`))
  const findings = await examineSuite({
    ...config,
    management,
    passwordOf: (user, server) => {
      const access = config[server]
      const ours = ('username' in access ? access.username : access.user) === user ? access.password : undefined
      return (user === 'monitoring' ? passwordIn('rabbitmq', user) : passwordIn(user, server)) ?? ours
    },
  })
  await out(reportOf(findings, { json }))
  return exitCodeOf(findings)
})

function parsed(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options }).values
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

/** The secret in `file`. Undefined when this process cannot read the file. The report then says so. */
function secret(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch {
    return undefined
  }
}
