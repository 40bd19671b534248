// The compose project as users start it, with its own project name, tag and ports for tests.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { serviceNames } from '@ims/accounts/suite'
import { z } from 'zod'
import { ROOT } from '../stack.ts'

export const SERVICES = serviceNames
export type ServiceName = (typeof SERVICES)[number]
/** The tag of existing images to test. If it is not set, the tests build the images. */
const GIVEN = process.env.IMS_TEST_IMAGES
export const TAG = GIVEN ?? 'test'
export const isBuilt = GIVEN !== undefined
export const image = (service: ServiceName) => `registry.invalid/ims/${service}:${TAG}`

const PROJECT = 'ims-test'
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024
// These ports are below the range of ephemeral ports.
const PORT = 15_100
const MANAGEMENT_PORT = 15_101

export const http = `http://127.0.0.1:${PORT}`
export const management = `http://127.0.0.1:${MANAGEMENT_PORT}`

/** The environment for docker compose and the commands of the repository. */
export const environment = {
  ...process.env,
  IMS_SERVICES: 'docker',
  COMPOSE_PROJECT_NAME: PROJECT,
  IMS_TAG: TAG,
  PORT: String(PORT),
  RABBITMQ_MANAGEMENT_PORT: String(MANAGEMENT_PORT),
}

export interface Ran {
  readonly code: number
  /** Standard output and standard error. */
  readonly output: string
}

/** Runs a program at the repository's root and resolves with its exit code and output. */
export async function ran(program: string, ...args: string[]): Promise<Ran> {
  try {
    const { stdout, stderr } = await promisify(execFile)(program, args, {
      cwd: ROOT,
      env: environment,
      maxBuffer: MAX_OUTPUT_BYTES,
    })
    return { code: 0, output: stdout + stderr }
  } catch (error) {
    const { code, stdout, stderr } = z.object({ code: z.number(), stdout: z.string(), stderr: z.string() }).parse(error)
    return { code, output: stdout + stderr }
  }
}

/** Runs `docker ARGS` and resolves with its trimmed standard output. Rejects when it fails. */
export async function docker(...args: string[]): Promise<string> {
  const options = { cwd: ROOT, env: environment, maxBuffer: MAX_OUTPUT_BYTES }
  return (await promisify(execFile)('docker', args, options)).stdout.trim()
}

/** Runs `docker compose ARGS` on the tests' project. */
export const compose = async (...args: string[]): Promise<string> => await docker('compose', ...args)

/** Builds the images unless a tag is given, starts everything and waits until it is healthy. */
export const buildAndUp = async (): Promise<string> => await up(...(isBuilt ? [] : ['--build']))

/** Runs `docker compose up ARGS` and waits until the services are healthy. */
export const up = async (...args: string[]): Promise<string> => await compose('up', '--wait', ...args)

/** Stops and removes everything, including its data. */
export const removeAll = async (): Promise<string> => await compose('down', '--volumes', '--remove-orphans')

const container = z.object({ Service: z.string(), Name: z.string(), State: z.string(), Health: z.string() })

/** The containers of the project, including stopped ones. */
export async function containers(): Promise<z.infer<typeof container>[]> {
  const lines = await compose('ps', '--all', '--format', 'json')
  return lines === '' ? [] : lines.split('\n').map((line) => container.parse(JSON.parse(line)))
}

/** Runs a command in a service's container. */
export const execIn = async (service: string, ...command: string[]): Promise<string> =>
  await compose('exec', '--no-TTY', service, ...command)

/** Runs an ES module, given as text, on the Node of a service's container, as that service and with its secrets. */
export async function runIn(service: string, script: string): Promise<string> {
  const args = ['compose', 'exec', '--no-TTY', service, 'node', '--input-type=module', '-']
  const running = promisify(execFile)('docker', args, { cwd: ROOT, env: environment })
  running.child.stdin?.end(script)
  return (await running).stdout
}

/** Runs statements as MySQL's root. Rows are tab-separated, without headings. */
export const sql = async (statements: string): Promise<string> =>
  await execIn(
    'mysql',
    'sh',
    '-c',
    'MYSQL_PWD="$(cat /run/accounts/root-password)" mysql --user=root --batch --skip-column-names ims --execute="$0"',
    statements,
  )

export const rabbitmqctl = async (...args: string[]): Promise<string> =>
  await execIn('rabbitmq', 'rabbitmqctl', '--quiet', ...args)

/** The output of `docker inspect` for a service's first container. */
export async function inspect(service: string): Promise<unknown> {
  const id = (await compose('ps', '--all', '--quiet', service)).split('\n')[0] ?? ''
  return z.tuple([z.unknown()]).parse(JSON.parse(await docker('inspect', id)))[0]
}

const process1 = z.object({ State: z.object({ Pid: z.int().positive() }) })

/**
 * Kills the main process, like a crash. `docker kill` does not work here, because a manually stopped container is not
 * restarted. The kill runs in a container that sees the engine's processes, so that it also works with a remote engine.
 */
export async function crash(service: string): Promise<void> {
  const { State } = process1.parse(await inspect(service))
  const kill = `process.kill(${State.Pid}, 'SIGKILL')`
  await docker('run', '--rm', '--pid=host', '--user=root', image('consumer_one'), 'node', '--eval', kill)
}

/** The number of messages in a queue, ready and unacknowledged. */
export async function messagesOn(queue: string): Promise<number> {
  const lines = await rabbitmqctl('list_queues', '--no-table-headers', 'name', 'messages')
  const line = lines.split('\n').find((each) => each.startsWith(`${queue}\t`))
  return Number(line?.split('\t')[1])
}

/** The value of the HTTP header `Authorization` for basic authentication. */
export const basic = (user: string, password: string): string => `Basic ${btoa(`${user}:${password}`)}`

/** The value of the HTTP header `Authorization` for the broker's administrator. */
export const asOperator = async (): Promise<string> =>
  basic('operator', await execIn('rabbitmq', 'cat', '/run/accounts/operator-password'))

const deadLetter = z.object({
  payload: z.string(),
  properties: z.object({ message_id: z.string().optional(), headers: z.record(z.string(), z.unknown()) }),
})

/** Fetches and removes the dead letters of a queue. */
export async function takeDeadLetters(queue: string): Promise<z.infer<typeof deadLetter>[]> {
  const answer = await fetch(`${management}/api/queues/%2F/${queue}.dead-letter/get`, {
    method: 'POST',
    headers: { authorization: await asOperator(), 'content-type': 'application/json' },
    body: JSON.stringify({ count: 1_000, ackmode: 'ack_requeue_false', encoding: 'auto' }),
  })
  return z.array(deadLetter).parse(await answer.json())
}
